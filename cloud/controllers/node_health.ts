/**
 * What the cloud says of a node by the state of its link. Only the link is judged here: whether the
 * node itself is well is the node's own report. Pods keep the last status their node reported, and
 * nothing is ever evicted: an autonomous node goes on working, so "Unknown" is all the cloud can
 * honestly say, and new pods go elsewhere. Pure.
 */
import { toTime } from "../../shared/clock.ts";
import type { Condition, Node, NodeStatus, Taint } from "../../shared/k8s/types.ts";
import { PRESSURE_TAINTS, UNREACHABLE_TAINT } from "./taints.ts";

export type NodeLink =
  | { kind: "live" }
  /** Without a session, but not for long enough to say anything. */
  | { kind: "grace" }
  | { kind: "away"; sinceMs: number; remoteAddress: string | undefined };

/** What to write; fields are unset where the stored ones are right. */
export interface HealthVerdict {
  status?: NodeStatus;
  taints?: Taint[];
}

const LINK_CONDITIONS = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

export function judgeNode(node: Node, link: NodeLink, nowMs: number): HealthVerdict {
  const taints = node.spec?.taints ?? [];
  const isTainted = taints.some(isUnreachable);
  switch (link.kind) {
    case "grace":
      return {};
    case "live": {
      const isReported = readyOf(node) !== undefined && readyOf(node)?.status !== "Unknown";
      // Until the node's own fresh report says how it is, the taints stay.
      if (!isReported) return {};
      const reachable = taints.filter((taint) => !isUnreachable(taint));
      const next = withPressureTaints(node, reachable, nowMs);
      return isTainted || next !== reachable ? { taints: next } : {};
    }
    case "away": {
      const verdict: HealthVerdict = {};
      const status = unknownStatus(node, link, nowMs);
      if (status) verdict.status = status;
      if (!isTainted) {
        const timeAdded = toTime(nowMs);
        verdict.taints = [...taints, { key: UNREACHABLE_TAINT, effect: "NoSchedule", timeAdded }];
      }
      return verdict;
    }
  }
}

/** As Kubernetes taints nodes by their conditions: they take nothing more that cannot bear it. */
function withPressureTaints(node: Node, taints: Taint[], nowMs: number): Taint[] {
  let next = taints;
  for (const [type, key] of PRESSURE_TAINTS) {
    const isShort = node.status?.conditions?.some((c) => c.type === type && c.status === "True");
    const isTainted = next.some((t) => t.key === key && t.effect === "NoSchedule");
    if (Boolean(isShort) === isTainted) continue;
    next = isShort
      ? [...next, { key, effect: "NoSchedule", timeAdded: toTime(nowMs) }]
      : next.filter((t) => !(t.key === key && t.effect === "NoSchedule"));
  }
  return next;
}

function isUnreachable(taint: Taint): boolean {
  return taint.key === UNREACHABLE_TAINT && taint.effect === "NoSchedule";
}

function readyOf(node: Node): Condition | undefined {
  return node.status?.conditions?.find((condition) => condition.type === "Ready");
}

function unknownStatus(
  node: Node,
  link: { sinceMs: number; remoteAddress: string | undefined },
  nowMs: number,
): NodeStatus | undefined {
  const conditions = node.status?.conditions ?? [];
  const stale = LINK_CONDITIONS.filter((type) => {
    const condition = conditions.find((c) => c.type === type);
    return type === "Ready" ? condition?.status !== "Unknown" : condition?.status === "True" ||
      condition?.status === "False";
  });
  if (stale.length === 0) return undefined;
  const from = link.remoteAddress ? ` from ${link.remoteAddress}` : "";
  const message = `The link${from} to the edge agent of ${node.metadata.name} is down since ` +
    `${toTime(link.sinceMs)}; its pods keep running and keep their last reported status.`;
  const unknown = (type: string, old?: Condition): Condition => ({
    ...old,
    type,
    status: "Unknown",
    reason: "NodeStatusUnknown",
    message,
    lastTransitionTime: toTime(nowMs),
  });
  const next = conditions.map((c) => stale.includes(c.type) ? unknown(c.type, c) : c);
  if (!conditions.some((c) => c.type === "Ready")) next.push(unknown("Ready"));
  return { ...node.status, conditions: next };
}
