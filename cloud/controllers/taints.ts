/**
 * Taints and tolerations, by Kubernetes' rules, and the taints that node_lifecycle puts on a node
 * it cannot reach. Pure.
 */
import type { Taint, Toleration } from "../../shared/k8s/types.ts";

export const NOT_READY_TAINT = "node.kubernetes.io/not-ready";
export const UNREACHABLE_TAINT = "node.kubernetes.io/unreachable";
export const UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable";
export const OUT_OF_SERVICE_TAINT = "node.kubernetes.io/out-of-service";

/** What a node is short of, and the taint that says so. */
export const PRESSURE_TAINTS: readonly [condition: string, key: string][] = [
  ["MemoryPressure", "node.kubernetes.io/memory-pressure"],
  ["DiskPressure", "node.kubernetes.io/disk-pressure"],
  ["PIDPressure", "node.kubernetes.io/pid-pressure"],
];

/** True for taints that are the cloud's view of the link, not properties of the node. */
export function isLinkTaint(taint: Taint): boolean {
  return taint.key === NOT_READY_TAINT || taint.key === UNREACHABLE_TAINT;
}

export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  switch (toleration.operator ?? "Equal") {
    case "Exists":
      return true;
    case "Equal":
      // An empty key only goes with Exists.
      return Boolean(toleration.key) && (toleration.value ?? "") === (taint.value ?? "");
    default:
      return false;
  }
}

/** The first of `taints` with one of `effects` that no toleration covers. */
export function untolerated(
  taints: readonly Taint[],
  tolerations: readonly Toleration[],
  effects: readonly Taint["effect"][],
): Taint | undefined {
  return taints.find((taint) =>
    effects.includes(taint.effect) && !tolerations.some((t) => tolerates(t, taint))
  );
}
