/** `logs POD`: the log of a container on this node. */
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { findPod, NAMESPACE_FLAG, podPath } from "./find_pod.ts";
import { LocalApiClient, SERVER_FLAGS } from "./local_api.ts";

export const LOGS_COMMAND: CommandSpec = {
  name: "logs",
  summary: "Show the log of a pod's container",
  operands: "POD",
  operandsMin: 1,
  operandsMax: 1,
  flags: [
    NAMESPACE_FLAG,
    { name: "container", short: "c", value: "NAME", help: "Container, where the pod has several" },
    { name: "follow", short: "f", help: "Keep showing what is written" },
    { name: "previous", short: "p", help: "The run before the current one" },
    { name: "tail", value: "N", help: "Only the last N lines" },
    { name: "since", value: "SECONDS", help: "Only lines younger than this" },
    { name: "timestamps", help: "Begin each line with its time" },
    ...SERVER_FLAGS,
  ],
  run: logs,
};

async function logs(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const [pod = ""] = invocation.operands;
  const client = await LocalApiClient.find(invocation);
  const found = await findPod(client, pod, invocation, signal);
  const params = new URLSearchParams();
  const pass = (flag: string, param: string) => {
    const value = invocation.flag(flag);
    if (value !== undefined) params.set(param, value);
  };
  pass("container", "container");
  pass("tail", "tailLines");
  pass("since", "sinceSeconds");
  for (const name of ["follow", "previous", "timestamps"]) {
    if (invocation.isSet(name)) params.set(name, "true");
  }
  const path = `${podPath(found)}/logs?${params}`;
  const response = await client.get(path, signal, "text/plain");
  try {
    await response.body?.pipeTo(Deno.stdout.writable, { signal, preventClose: true });
  } catch (error) {
    // the reader of our output went away (`| head`): that ends the command, it is not a failure
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
  return 0;
}
