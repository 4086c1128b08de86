/** activeDeadlineSeconds: how long a pod may be active, from its start on the node. Pure. */
import type { Pod, PodStatus } from "../../shared/k8s/types.ts";

/** What makes a pod Failed from outside its containers. */
export interface PodVerdict {
  /** Of the event that tells it. */
  type: "Normal" | "Warning";
  reason: string;
  message: string;
  /** Grace of the containers, where it is shorter than the pod's own. */
  graceSeconds?: number;
  /** The node, not the pod, is why: the condition DisruptionTarget says so. */
  isDisruption?: true;
}

/** Who makes pods Failed from outside: limits they break, a node that is short of something. */
export interface PodVerdicts {
  verdict(pod: Pod): PodVerdict | undefined;
  /** Set while the node keeps a pod stopped that is to run again later. */
  hold(pod: Pod): Hold | undefined;
}

export interface Hold {
  /** Why its containers wait. */
  reason: string;
  message: string;
  graceSeconds: number;
}

export const DEADLINE_EXCEEDED: PodVerdict = {
  type: "Normal",
  reason: "DeadlineExceeded",
  message: "Pod was active on the node longer than the specified deadline",
};

/** Milliseconds left; undefined when the pod has no deadline, or none any more. */
export function deadlineLeftMs(
  pod: Pod,
  previous: PodStatus | undefined,
  activeMs: number,
): number | undefined {
  const seconds = pod.spec.activeDeadlineSeconds;
  const isOver = previous?.phase === "Succeeded" || previous?.phase === "Failed";
  if (typeof seconds !== "number" || isOver || pod.metadata.deletionTimestamp) return undefined;
  return Math.max(0, seconds * 1000 - activeMs);
}
