/** Requests, limits, QoS class and oom score, as kubelet computes them. Pure. */
import { milliValue, tryParseQuantity, wholeValue } from "../../shared/k8s/quantity.ts";
import type { Container, Pod } from "../../shared/k8s/types.ts";

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

export interface Amounts {
  cpuMillis: number;
  memoryBytes: number;
}

/** Undefined when not set or not a quantity. A limit counts as a request too. */
export function amountOf(
  container: Container,
  kind: "requests" | "limits",
  resource: string,
): number | undefined {
  const { requests, limits } = container.resources ?? {};
  const text = kind === "limits" ? limits?.[resource] : requests?.[resource] ?? limits?.[resource];
  if (text === undefined) return undefined;
  return valueOf(text, resource);
}

/** What the sandbox itself takes, by the pod's RuntimeClass; 0 when nothing is said. */
export function overheadOf(pod: Pod, resource: string): number {
  const text = pod.spec.overhead?.[resource];
  return text === undefined ? 0 : valueOf(text, resource) ?? 0;
}

function valueOf(text: unknown, resource: string): number | undefined {
  const quantity = tryParseQuantity(String(text));
  if (!quantity) return undefined;
  return resource === "cpu" ? milliValue(quantity) : wholeValue(quantity);
}

export function qosClass(pod: Pod): QosClass {
  // A pod refused for having no containers at all is described, too.
  const containers = [...pod.spec?.containers ?? [], ...pod.spec?.initContainers ?? []];
  const set = (c: Container, kind: "requests" | "limits", r: string) => amountOf(c, kind, r) ?? 0;
  const guaranteed = containers.every((c) =>
    ["cpu", "memory"].every((r) =>
      set(c, "limits", r) > 0 && set(c, "limits", r) === set(c, "requests", r)
    )
  );
  if (guaranteed && containers.length > 0) return "Guaranteed";
  const any = containers.some((c) => ["cpu", "memory"].some((r) => set(c, "requests", r) > 0));
  return any ? "Burstable" : "BestEffort";
}

/** What the scheduler reserves: the larger of all running together and the largest init step. */
export function podRequests(pod: Pod): Amounts {
  return {
    cpuMillis: podRequest(pod, "cpu"),
    memoryBytes: podRequest(pod, "memory"),
  };
}

export function podRequest(pod: Pod, resource: string): number {
  let running = 0;
  for (const c of pod.spec.containers) running += amountOf(c, "requests", resource) ?? 0;
  let sidecars = 0;
  let initPeak = 0;
  for (const c of pod.spec.initContainers ?? []) {
    const amount = amountOf(c, "requests", resource) ?? 0;
    if (c.restartPolicy === "Always") sidecars += amount;
    initPeak = Math.max(initPeak, sidecars + (c.restartPolicy === "Always" ? 0 : amount));
  }
  return Math.max(running + sidecars, initPeak) + overheadOf(pod, resource);
}

const OOM_GUARANTEED = -997;
const OOM_BEST_EFFORT = 1000;

export function oomScore(pod: Pod, container: Container, capacityBytes: number): number {
  const qos = qosClass(pod);
  const critical = pod.spec.priorityClassName === "system-node-critical";
  if (qos === "Guaranteed" || critical) return OOM_GUARANTEED;
  if (qos === "BestEffort" || capacityBytes <= 0) return OOM_BEST_EFFORT;
  const request = amountOf(container, "requests", "memory") ?? 0;
  const score = 1000 - Math.floor((1000 * request) / capacityBytes);
  return Math.min(OOM_BEST_EFFORT - 1, Math.max(1000 + OOM_GUARANTEED, score));
}
