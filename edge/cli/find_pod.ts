/** Which pod an operand means: its namespace may be left out where the name is unique here. */
import type { FlagSpec, Invocation } from "../../shared/cli/command.ts";
import { AppError } from "../../shared/errors.ts";
import type { KubeList, Pod } from "../../shared/k8s/types.ts";
import type { LocalApiClient } from "./local_api.ts";

export const NAMESPACE_FLAG: FlagSpec = {
  name: "namespace",
  short: "n",
  value: "NS",
  help: "Namespace (default: the pod's, if unique)",
};

export async function findPod(
  client: LocalApiClient,
  name: string,
  invocation: Invocation,
  signal: AbortSignal,
): Promise<Pod> {
  const params = new URLSearchParams({ fieldSelector: `metadata.name=${name}` });
  const answer = await client.get(`/api/v1/pods?${params}`, signal);
  const list: KubeList<Pod> = await answer.json();
  const wanted = invocation.flag("namespace");
  const found = list.items.filter((pod) =>
    wanted === undefined || pod.metadata.namespace === wanted
  );
  if (found.length === 1) return found[0]!;
  if (found.length === 0) throw new AppError("not_found", `pods "${name}" not found`);
  const namespaces = found.map((pod) => pod.metadata.namespace).join(", ");
  throw new AppError(
    "invalid",
    `Cannot choose pod ${name}: it is in the namespaces ${namespaces}; name one with -n`,
  );
}

/** `/v1/pods/NS/NAME` */
export function podPath(pod: Pod): string {
  const { namespace = "", name = "" } = pod.metadata;
  return `/v1/pods/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
}
