/**
 * How a status from a node goes into the pod: the node owns what kubelet owns; conditions of other
 * writers (the scheduler's PodScheduled, readiness gates, disruption) and the fields only they set
 * stay. Pure.
 */
import type { Condition, PodStatus } from "../../shared/k8s/types.ts";

/** Fields of the stored status that the node does not speak for. */
const KEPT_FIELDS = ["qosClass", "nominatedNodeName", "resourceClaimStatuses"] as const;

export function mergePodStatus(
  current: PodStatus | undefined,
  reported: PodStatus,
): PodStatus {
  const stored = (current ?? {}) as Record<string, unknown>; // KEPT_FIELDS are not all in our type
  const kept: Record<string, unknown> = {};
  for (const field of KEPT_FIELDS) {
    if (stored[field] !== undefined) kept[field] = stored[field];
  }
  const conditions = mergeConditions(current?.conditions, reported.conditions?.map(withoutNulls));
  return { ...kept, ...reported, ...(conditions.length > 0 ? { conditions } : {}) };
}

/** Reported conditions replace those of their type, in place; other types stay. */
export function mergeConditions(
  current: readonly Condition[] = [],
  reported: readonly Condition[] = [],
): Condition[] {
  const byType = new Map(reported.map((condition) => [condition.type, condition]));
  const merged = current.map((old) => {
    const next = byType.get(old.type);
    byType.delete(old.type);
    return next ?? old;
  });
  return [...merged, ...byType.values()];
}

/**
 * The API keeps no nulls; with them (`lastProbeTime`) a status would never equal the stored one.
 */
function withoutNulls(condition: Condition): Condition {
  const known = Object.entries(condition).filter(([, value]) => value !== null);
  return Object.fromEntries(known) as unknown as Condition; // fields that may be null are optional
}
