/**
 * Which pod gives way: kubelet's order. First those that use more than they asked for, then by
 * priority, then by how far they are beyond their request. Static and system-critical pods never
 * give way. Pure.
 */
import { formatQuantity, tryParseQuantity, wholeValue } from "../../../shared/k8s/quantity.ts";
import type { ContainerStats, PodStats } from "../../../shared/k8s/stats_summary.ts";
import type { Container, Pod } from "../../../shared/k8s/types.ts";
import type { Shortage } from "./decide.ts";
import { resourceOf, type Signal } from "./thresholds.ts";

export interface Candidate {
  pod: Pod;
  /** Undefined for a pod without figures: it comes first, as with kubelet. */
  stats: PodStats | undefined;
}

const SYSTEM_PRIORITY = 2_000_000_000;
const CRITICAL_CLASSES = ["system-node-critical", "system-cluster-critical"];
const FROM_FILE = "kubernetes.io/config.source";

/** Pods that are never turned away nor evicted. */
export function isCritical({ spec, metadata: { annotations } }: Pod): boolean {
  const source = annotations?.[FROM_FILE];
  return (source !== undefined && source !== "api") ||
    annotations?.["kubernetes.io/config.mirror"] !== undefined ||
    (spec.priority ?? 0) >= SYSTEM_PRIORITY ||
    CRITICAL_CLASSES.includes(spec.priorityClassName ?? "");
}

/** The first to go comes first. `hasImageFs`: images lie on a file system of their own. */
export function rankPods(
  candidates: readonly Candidate[],
  signal: Signal,
  hasImageFs: boolean,
): Candidate[] {
  const resource = resourceOf(signal);
  const used = (each: Candidate) => usedBy(each.stats, signal, hasImageFs);
  const asked = ({ pod }: Candidate) => requestOf(pod.spec.containers, resource);
  const beyond = (each: Candidate) => (used(each) ?? Infinity) - asked(each);
  const priority = ({ pod }: Candidate) => pod.spec.priority ?? 0;
  const isCounted = resource === "memory" || resource === "ephemeral-storage";
  return candidates.filter(({ pod }) => !isCritical(pod)).sort((a, b) =>
    (isCounted ? Number(beyond(b) > 0) - Number(beyond(a) > 0) : 0) ||
    priority(a) - priority(b) ||
    difference(beyond(b), beyond(a))
  );
}

function difference(a: number, b: number): number {
  return a === b ? 0 : a - b; // two without figures are alike
}

function usedBy(
  stats: PodStats | undefined,
  signal: Signal,
  hasImageFs: boolean,
): number | undefined {
  if (!stats) return undefined;
  switch (signal) {
    case "memory.available":
      return stats.memory?.workingSetBytes;
    case "pid.available":
      return stats.process_stats?.process_count;
    default:
      return diskUsed(stats, signal, hasImageFs);
  }
}

/** Writable layers lie with the images; logs and volumes lie with the node's data. */
function diskUsed(stats: PodStats, signal: Signal, hasImageFs: boolean): number {
  const key = signal.endsWith("inodesFree") ? "inodesUsed" : "usedBytes";
  const isImages = signal.startsWith("imagefs");
  const layers = !hasImageFs || isImages;
  const local = !hasImageFs || !isImages;
  let used = 0;
  for (const { rootfs, logs } of stats.containers) {
    used += (layers ? rootfs?.[key] ?? 0 : 0) + (local ? logs?.[key] ?? 0 : 0);
  }
  if (local) { for (const volume of stats.volume ?? []) used += volume[key] ?? 0; }
  return used;
}

function requestOf(containers: readonly Container[], resource: string): number {
  return containers.reduce((sum, container) => sum + containerRequest(container, resource), 0);
}

function containerRequest({ resources }: Container, resource: string): number {
  const text = resources?.requests?.[resource] ?? resources?.limits?.[resource];
  const quantity = text === undefined ? undefined : tryParseQuantity(String(text));
  return quantity ? wholeValue(quantity) : 0;
}

/** kubelet's sentences about one pod that gives way. */
export function evictionMessage({ pod, stats }: Candidate, { threshold, observation }: Shortage) {
  const { signal, amount } = threshold;
  const resource = resourceOf(signal);
  const isBytes = signal.endsWith(".available") && signal !== "pid.available";
  const available = isBytes ? inBytes(observation.available) : String(observation.available);
  const sentences = [
    `The node was low on resource: ${resource}. `,
    `Threshold quantity: ${amountText(amount, observation.capacity, isBytes)}, ` +
    `available: ${available}. `,
  ];
  for (const container of stats?.containers ?? []) {
    const spec = pod.spec.containers.find(({ name }) => name === container.name);
    const used = containerUse(container, resource);
    if (!spec || used === undefined) continue;
    const request = containerRequest(spec, resource);
    if (used <= request) continue;
    sentences.push(
      `Container ${container.name} was using ${inBytes(used)}, request is ${
        request === 0 ? "0" : inBytes(request)
      }, has larger consumption of ${resource}. `,
    );
  }
  return sentences.join("");
}

function amountText(
  amount: Shortage["threshold"]["amount"],
  capacity: number,
  isBytes: boolean,
): string {
  if (amount.kind === "quantity") return amount.text;
  const value = Math.floor(capacity * amount.value);
  return isBytes ? inBytes(value) : String(value);
}

function containerUse(container: ContainerStats, resource: string): number | undefined {
  if (resource === "memory") return container.memory?.workingSetBytes;
  if (resource !== "ephemeral-storage") return undefined;
  return (container.rootfs?.usedBytes ?? 0) + (container.logs?.usedBytes ?? 0);
}

function inBytes(bytes: number): string {
  return formatQuantity({
    nanos: BigInt(Math.max(0, Math.floor(bytes))) * 1_000_000_000n,
    format: "binarySI",
  });
}
