/**
 * What acts of the site mean for one pod. Pure. An act ends the sandboxes and containers that were
 * there when the agent first looked (`victims`), and no others: so it is carried out once, whatever
 * is killed in between. Runs among the victims do not count when it is decided what shall run.
 */
import type { Pod } from "../../shared/k8s/types.ts";
import { isLive, type ObservedPod, runsOf } from "./observed.ts";
import type { Waiting } from "./plan.ts";
import type { SiteAct } from "./port.ts";

export const REMOVED_REASON = "RemovedAtSite";

/** The ids an act is to end, of what is there now. */
export function victimsOf(act: SiteAct, observed: ObservedPod): string[] {
  if (act.container !== undefined) {
    return runsOf(observed, act.container).map((run) => run.id);
  }
  return [...observed.sandboxes, ...observed.containers].map(({ id }) => id);
}

/** `observed` with everything marked that acts have ended or are to end. */
export function markReplaced(observed: ObservedPod, acts: readonly SiteAct[]): ObservedPod {
  const victims = new Set(acts.flatMap((act) => act.victims ?? []));
  if (victims.size === 0) return observed;
  return {
    ...observed,
    sandboxes: observed.sandboxes.map((s) => victims.has(s.id) ? { ...s, replaced: true } : s),
    containers: observed.containers.map((c) =>
      victims.has(c.id) || victims.has(c.sandboxId) ? { ...c, replaced: true } : c
    ),
  };
}

/** True when nothing an act is to end lives any more; false before it has begun. */
export function isCarriedOut(act: SiteAct, observed: ObservedPod): boolean {
  if (!act.victims) return false;
  const victims = new Set(act.victims);
  return !observed.sandboxes.some((s) => s.ready && victims.has(s.id)) &&
    !observed.containers.some((c) => isLive(c) && victims.has(c.id));
}

/** Why every container of a held pod waits. */
export function heldWaiting(
  pod: Pod,
  acts: readonly SiteAct[],
  nodesHold?: Waiting,
): Map<string, Waiting> | undefined {
  const hold = acts.find((act) => act.holds);
  const waiting = hold
    ? {
      reason: REMOVED_REASON,
      message: `removed at the site by ${hold.by}; the cloud has not decided yet`,
    }
    : nodesHold && { reason: nodesHold.reason, message: nodesHold.message ?? "" };
  if (!waiting) return undefined;
  const names = [...pod.spec.initContainers ?? [], ...pod.spec.containers].map((c) => c.name);
  return new Map(names.map((name) => [name, waiting]));
}

/** The pod with the grace an act that is under way asked for. */
export function withSiteGrace(pod: Pod, acts: readonly SiteAct[]): Pod {
  const graces = acts.filter((act) => !act.carriedOut)
    .flatMap((act) => act.graceSeconds === undefined ? [] : [act.graceSeconds]);
  if (graces.length === 0) return pod;
  const terminationGracePeriodSeconds = Math.min(...graces);
  return { ...pod, spec: { ...pod.spec, terminationGracePeriodSeconds } };
}
