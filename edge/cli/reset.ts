/**
 * `reset`: this machine is no longer a node. Stops and removes the pods Skerry runs here, unmounts
 * their volumes, removes unit, identity and state. What other programs run in the same container
 * runtime is not touched.
 */
import { join } from "@std/path";
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { writeError } from "../../shared/cli/run_program.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import type { EdgeConfig } from "../config.ts";
import { GrpcRuntime } from "../cri/grpc_runtime.ts";
import { NODE_MARK } from "../pods/marks.ts";
import { SystemMounter } from "../pods/volumes/mounter.ts";
import { SYSTEMD_UNIT } from "./join.ts";
import { CONFIG_FLAGS, configFile, LAST_GOOD, readSettings } from "./settings.ts";

/** What a data folder holds of ours; anything else in it is left alone. */
const OURS = ["pki", "store", "pods", "addresses.json", "api-token", LAST_GOOD, "edge.yaml"];

export const RESET_COMMAND: CommandSpec = {
  name: "reset",
  summary: "Stop the node's pods; remove its identity, unit and state",
  flags: [...CONFIG_FLAGS, {
    name: "force",
    help: "Do not ask; go on when the container runtime does not answer",
  }],
  run: reset,
};

async function reset(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const config = await readSettings(invocation);
  const force = invocation.isSet("force");
  if (
    !force && !confirm(`Stop and remove everything of node ${config.nodeName} on this machine?`)
  ) {
    writeError("Nothing was changed");
    return 1;
  }
  await stopUnit();
  await refuseWhileRunning(config.dataDir);
  try {
    const count = await removePods(config, signal);
    writeError(`Removed ${count} pods`);
  } catch (cause) {
    if (!force) throw new AppError("unavailable", "Cannot remove the pods", {}, { cause });
    writeError(`Warning: pods are left behind: ${errorChain(cause)}`);
  }
  await new SystemMounter().unmountBelow(join(config.dataDir, "pods"));
  for (const name of OURS) await removeIfThere(join(config.dataDir, name));
  await removeIfThere(configFile(invocation));
  writeError(`Node ${config.nodeName} is reset`);
  return 0;
}

async function removePods(config: EdgeConfig, signal: AbortSignal): Promise<number> {
  const runtime = new GrpcRuntime(config.runtime.endpoint);
  try {
    const sandboxes = await runtime.listPodSandbox({}, signal);
    const ours = sandboxes.filter((s) =>
      (s.annotations[NODE_MARK] ?? s.labels[NODE_MARK]) === config.nodeName
    );
    for (const sandbox of ours) {
      await runtime.stopPodSandbox(sandbox.id, signal);
      await runtime.removePodSandbox(sandbox.id, signal);
      const { namespace = "", name = "", uid = "" } = sandbox.metadata ?? {};
      await removeIfThere(join(config.pods.logsDir, `${namespace}_${name}_${uid}`));
    }
    return ours.length;
  } finally {
    await runtime.close();
  }
}

/** The running program holds the store's lock; it would write again what is removed here. */
async function refuseWhileRunning(dataDir: string): Promise<void> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(join(dataDir, "store", "lock"), { write: true });
  } catch {
    return; // no store: nothing can run on it
  }
  const free = await file.tryLock(true);
  file.close();
  if (!free) {
    throw new AppError(
      "conflict",
      `Cannot reset: skerry-edge is running on ${dataDir}; stop it first`,
    );
  }
}

async function stopUnit(): Promise<void> {
  try {
    await Deno.stat(SYSTEMD_UNIT);
  } catch {
    return; // never installed
  }
  await new Deno.Command("systemctl", { args: ["disable", "--now", "skerry-edge"] }).output();
  await Deno.remove(SYSTEMD_UNIT);
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return;
    throw new AppError("unavailable", `Cannot remove ${path}`, {}, { cause });
  }
}
