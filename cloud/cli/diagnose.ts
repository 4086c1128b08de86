/** `diagnose`: what is wrong with this cloud, seen from the machine, running or not. */
import { join } from "@std/path";
import { readAddresses } from "../../shared/addresses.ts";
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { UsageError } from "../../shared/cli/command.ts";
import {
  askProgram,
  certificateLook,
  clockLook,
  dialLook,
  diskLook,
  examine,
  type Look,
  report,
  storeLook,
} from "../../shared/cli/diagnose.ts";
import { SystemClock } from "../../shared/clock.ts";
import { errorChain } from "../../shared/errors.ts";
import { CONFIG_FLAGS, readSettings } from "./settings.ts";

const DEFAULT_DATA_DIR = "/var/lib/skerry/cloud";

export const DIAGNOSE_COMMAND: CommandSpec = {
  name: "diagnose",
  summary: "Look for what is wrong with this cloud; exit 1 when something is",
  flags: [
    ...CONFIG_FLAGS,
    { name: "output", short: "o", value: "FORMAT", help: "json, or text" },
  ],
  run: diagnose,
};

async function diagnose(invocation: Invocation): Promise<number> {
  const output = invocation.flag("output") ?? "text";
  if (output !== "json" && output !== "text") {
    throw new UsageError(`unknown output "${output}"; known: json, text`);
  }
  const nowMs = new SystemClock().nowMs();
  let problem: string | undefined;
  let dataDir = invocation.flag("data-dir") ?? DEFAULT_DATA_DIR;
  try {
    ({ dataDir } = await readSettings(invocation));
  } catch (error) {
    problem = errorChain(error);
  }
  const pki = (name: string) => join(dataDir, "pki", name);
  const looks: Record<string, Look> = {
    config: () =>
      Promise.resolve({ ok: problem === undefined, message: problem ?? `data is in ${dataDir}` }),
    program: programLook(dataDir),
    disk: diskLook(dataDir),
    store: storeLook(join(dataDir, "store")),
    authority: certificateLook(
      { certificate: pki("ca.crt"), privateKey: pki("ca.key"), authority: pki("ca.crt") },
      nowMs,
    ),
    clock: clockLook(nowMs, dataDir),
    api: listenLook(dataDir, "api"),
    hub: listenLook(dataDir, "hub"),
  };
  return report(await examine(looks), output === "json");
}

function programLook(dataDir: string): Look {
  return async () => {
    const { admin } = await readAddresses(dataDir);
    const { ok, text } = await askProgram(`${admin}/readyz?verbose`);
    const failed = text.split("\n").filter((line) => line.startsWith("[-]"));
    return { ok, message: ok ? `runs and is ready on ${admin}` : failed.join("; ") };
  };
}

function listenLook(dataDir: string, name: "api" | "hub"): Look {
  return async () => {
    const addresses = await readAddresses(dataDir);
    return await dialLook([(addresses[name] ?? "").replace(/^https?:\/\//, "")])();
  };
}
