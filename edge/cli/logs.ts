/** `logs POD`: the log of a container on this node. */
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { AppError } from "../../shared/errors.ts";
import type { KubeList } from "../../shared/k8s/types.ts";
import { LocalApiClient, SERVER_FLAGS } from "./local_api.ts";

export const LOGS_COMMAND: CommandSpec = {
  name: "logs",
  summary: "Show the log of a pod's container",
  operands: "POD",
  operandsMin: 1,
  operandsMax: 1,
  flags: [
    {
      name: "namespace",
      short: "n",
      value: "NS",
      help: "Namespace (default: the pod's, if unique)",
    },
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
  const namespace = invocation.flag("namespace") ?? await namespaceOf(client, pod, signal);
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
  const path = `/v1/pods/${encodeURIComponent(namespace)}/${
    encodeURIComponent(pod)
  }/logs?${params}`;
  const response = await client.get(path, signal, "text/plain");
  try {
    await response.body?.pipeTo(Deno.stdout.writable, { signal, preventClose: true });
  } catch (error) {
    // the reader of our output went away (`| head`): that ends the command, it is not a failure
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
  return 0;
}

async function namespaceOf(
  client: LocalApiClient,
  pod: string,
  signal: AbortSignal,
): Promise<string> {
  const params = new URLSearchParams({ fieldSelector: `metadata.name=${pod}` });
  const list: KubeList = await (await client.get(`/api/v1/pods?${params}`, signal)).json();
  const namespaces = list.items.map((item) => item.metadata.namespace ?? "");
  if (namespaces.length === 1 && namespaces[0] !== undefined) return namespaces[0];
  if (namespaces.length === 0) throw new AppError("not_found", `pods "${pod}" not found`);
  throw new AppError(
    "invalid",
    `Cannot choose pod ${pod}: it is in the namespaces ${namespaces.join(", ")}; name one with -n`,
  );
}
