/** Values a pod may ask about itself: fieldRef and resourceFieldRef, for env and volumes. Pure. */
import { AppError } from "../../shared/errors.ts";
import { parseQuantity, tryParseQuantity } from "../../shared/k8s/quantity.ts";
import type { Container, Pod } from "../../shared/k8s/types.ts";

export interface PodFacts {
  nodeName: string;
  hostIps: readonly string[];
  podIps: readonly string[];
  /** Stands in for limits that are not set. */
  allocatable: Readonly<Record<string, string>>;
  /** Where pods reach the Kubernetes API, HOST:PORT; "" or left out: nowhere. */
  kubernetesApi?: string;
}

const SUBSCRIPT = /^metadata\.(labels|annotations)\['([^']+)'\]$/;

export function fieldValue(pod: Pod, path: string, facts: PodFacts): string {
  const subscript = SUBSCRIPT.exec(path);
  if (subscript) {
    const map = subscript[1] === "labels" ? pod.metadata.labels : pod.metadata.annotations;
    return map?.[subscript[2]!] ?? "";
  }
  switch (path) {
    case "metadata.name":
      return pod.metadata.name ?? "";
    case "metadata.namespace":
      return pod.metadata.namespace ?? "";
    case "metadata.uid":
      return pod.metadata.uid ?? "";
    case "metadata.labels":
      return formatMap(pod.metadata.labels);
    case "metadata.annotations":
      return formatMap(pod.metadata.annotations);
    case "spec.nodeName":
      return facts.nodeName;
    case "spec.serviceAccountName":
      return pod.spec.serviceAccountName ?? "";
    case "status.hostIP":
      return facts.hostIps[0] ?? "";
    case "status.hostIPs":
      return facts.hostIps.join(",");
    case "status.podIP":
      return facts.podIps[0] ?? "";
    case "status.podIPs":
      return facts.podIps.join(",");
    default:
      throw new AppError("invalid", `unsupported fieldPath: ${path}`);
  }
}

/** One `key="value"` a line, sorted, with Go's quoting. */
function formatMap(map: Record<string, string> | undefined): string {
  return Object.entries(map ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([k, v]) => `${k}=${JSON.stringify(v)}`).join("\n");
}

/** The amount divided by `divisor`, rounded up. */
export function resourceValue(
  container: Container,
  ref: { resource: string; divisor?: string },
  facts: PodFacts,
): string {
  const match = /^(limits|requests)\.(cpu|memory|ephemeral-storage|hugepages-.+)$/
    .exec(ref.resource);
  if (!match) throw new AppError("invalid", `unsupported container resource : ${ref.resource}`);
  const [, kind, resource] = match;
  const { limits, requests } = container.resources ?? {};
  const text = kind === "limits"
    ? limits?.[resource!] ?? facts.allocatable[resource!]
    : requests?.[resource!] ?? limits?.[resource!];
  const amount = tryParseQuantity(String(text ?? "0"))?.nanos ?? 0n;
  const given = ref.divisor && String(ref.divisor) !== "0" ? String(ref.divisor) : "1";
  const divisor = parseQuantity(given).nanos;
  return divisor <= 0n ? "0" : String((amount + divisor - 1n) / divisor);
}
