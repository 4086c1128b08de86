/**
 * Which node a pod goes to: filters in kube-scheduler's order and with its words, then scores with
 * its weights (free cpu and memory 1, preferred affinity 2, PreferNoSchedule 3). Ties go to the
 * node with fewer pods, then by name, so that the same world gives the same answer. Pure.
 */
import type { Pod } from "../../shared/k8s/types.ts";
import { meetsAffinity, preferredWeight } from "./node_affinity.ts";
import type { NodeView } from "./node_view.ts";
import { type PodRequests, podRequests, portsClash, scoreAmounts } from "./pod_requests.ts";
import { tolerates, UNSCHEDULABLE_TAINT, untolerated } from "./taints.ts";

export type Placement = { kind: "place"; node: string } | { kind: "wait"; message: string };

/** Kubernetes' bound of a node's pods where the node does not say. */
const PODS_DEFAULT = 110;

/** One more reason against a node, from what the pod needs there; undefined for none. */
export type NodeFault = (view: NodeView) => string | undefined;

export function placePod(
  pod: Pod,
  nodes: readonly NodeView[],
  moreFault: NodeFault = () => undefined,
): Placement {
  if (nodes.length === 0) return { kind: "wait", message: "no nodes available to schedule pods" };
  const requests = podRequests(pod);
  const reasons = new Map<string, number>();
  const fitting: NodeView[] = [];
  for (const view of nodes) {
    const faults = faultsOf(pod, requests, view);
    const more = faults.length === 0 ? moreFault(view) : undefined;
    if (more !== undefined) faults.push(more);
    if (faults.length === 0) fitting.push(view);
    for (const fault of faults) reasons.set(fault, (reasons.get(fault) ?? 0) + 1);
  }
  if (fitting.length === 0) return { kind: "wait", message: waitMessage(nodes.length, reasons) };
  return { kind: "place", node: best(pod, requests, fitting).node.metadata.name ?? "" };
}

function waitMessage(total: number, reasons: ReadonlyMap<string, number>): string {
  const parts = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
  return `0/${total} nodes are available: ${parts.join(", ")}.`;
}

/** Why the node cannot take the pod: the first filter that refuses speaks; empty when it can. */
function faultsOf(pod: Pod, requests: PodRequests, view: NodeView): string[] {
  const tolerations = pod.spec.tolerations ?? [];
  if (view.node.spec?.unschedulable) {
    const taint = { key: UNSCHEDULABLE_TAINT, effect: "NoSchedule" as const };
    if (!tolerations.some((toleration) => tolerates(toleration, taint))) {
      return ["node(s) were unschedulable"];
    }
  }
  const taint = untolerated(view.taints, tolerations, ["NoSchedule", "NoExecute"]);
  if (taint) return [`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`];
  if (!meetsAffinity(pod, view.node)) {
    return ["node(s) didn't match Pod's node affinity/selector"];
  }
  const isPortTaken = requests.hostPorts.some((port) =>
    view.used.hostPorts.some((taken) => portsClash(port, taken))
  );
  if (isPortTaken) return ["node(s) didn't have free ports for the requested pod ports"];
  return resourceFaults(requests, view);
}

function resourceFaults(requests: PodRequests, view: NodeView): string[] {
  const faults: string[] = [];
  if (view.used.pods + 1 > (view.allocatable.pods ?? PODS_DEFAULT)) faults.push("Too many pods");
  for (const [resource, wanted] of Object.entries(requests.amounts)) {
    if (wanted <= 0) continue;
    const free = (view.allocatable[resource] ?? 0) - (view.used.amounts[resource] ?? 0);
    if (wanted > free) faults.push(`Insufficient ${resource}`);
  }
  return faults;
}

interface Scored {
  view: NodeView;
  freeShare: number;
  preferred: number;
  avoided: number;
}

function best(pod: Pod, requests: PodRequests, fitting: readonly NodeView[]): NodeView {
  const scored = fitting.map((view): Scored => ({
    view,
    freeShare: freeShare(requests, view),
    preferred: preferredWeight(pod, view.node),
    avoided: avoidedTaints(pod, view),
  }));
  const preferredMax = Math.max(1, ...scored.map((s) => s.preferred));
  const avoidedMax = Math.max(1, ...scored.map((s) => s.avoided));
  const total = (s: Scored) =>
    s.freeShare + 2 * s.preferred / preferredMax + 3 * (1 - s.avoided / avoidedMax);
  scored.sort((a, b) =>
    total(b) - total(a) || a.view.used.pods - b.view.used.pods ||
    (a.view.node.metadata.name! < b.view.node.metadata.name! ? -1 : 1) // a stored node has a name
  );
  return scored[0]!.view; // called with at least one
}

/** 0 to 1: mean share of cpu and memory that would be left. */
function freeShare(requests: PodRequests, view: NodeView): number {
  const own = scoreAmounts(requests.amounts);
  const share = (resource: "cpu" | "memory") => {
    const offered = view.allocatable[resource] ?? 0;
    if (offered <= 0) return 0;
    return Math.max(0, (offered - view.used.scored[resource] - own[resource]) / offered);
  };
  return (share("cpu") + share("memory")) / 2;
}

function avoidedTaints(pod: Pod, view: NodeView): number {
  const tolerations = pod.spec.tolerations ?? [];
  return view.taints.filter((taint) =>
    untolerated([taint], tolerations, ["PreferNoSchedule"]) !== undefined
  ).length;
}
