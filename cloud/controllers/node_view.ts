/**
 * Nodes as placement sees them: what each offers, and what the pods on it (bound, or assumed to be
 * bound in a moment) have taken. Kept up to date step by step. Bounded by the nodes and pods there
 * are.
 */
import type { Node, Pod, Taint } from "../../shared/k8s/types.ts";
import {
  type Amounts,
  type HostPort,
  type PodRequests,
  podRequests,
  readAmounts,
  scoreAmounts,
} from "./pod_requests.ts";
import { NOT_READY_TAINT, UNREACHABLE_TAINT } from "./taints.ts";

export interface NodeView {
  node: Node;
  allocatable: Amounts;
  /** The node's taints and those its Ready condition implies. */
  taints: readonly Taint[];
  used: NodeUse;
}

export interface NodeUse {
  pods: number;
  amounts: Amounts;
  /** cpu and memory with the least that every pod counts for in scoring. */
  scored: { cpu: number; memory: number };
  hostPorts: HostPort[];
}

interface Held {
  node: string;
  requests: PodRequests;
}

export class NodeViews {
  readonly #nodes = new Map<string, Omit<NodeView, "used">>();
  /** By node name; also for nodes that are not there (yet). */
  readonly #uses = new Map<string, NodeUse>();
  readonly #held = new Map<string, Held>();

  setNode(node: Node): void {
    this.#nodes.set(node.metadata.name ?? "", {
      node,
      allocatable: readAmounts(node.status?.allocatable ?? node.status?.capacity),
      taints: effectiveTaints(node),
    });
  }

  removeNode(name: string): void {
    this.#nodes.delete(name);
    this.#dropIfUnused(name);
  }

  /** All nodes; `used` follows later calls of `hold` and `release` in place. */
  views(): NodeView[] {
    return [...this.#nodes].map(([name, view]) => ({ ...view, used: this.#useOf(name) }));
  }

  /** Counts the pod on `node`, instead of wherever it was counted before. */
  hold(pod: Pod, node: string): void {
    const uid = pod.metadata.uid ?? "";
    if (this.#held.get(uid)?.node === node) return; // requests of a pod do not change
    this.release(uid);
    const requests = podRequests(pod);
    this.#held.set(uid, { node, requests });
    const use = this.#useOf(node);
    count(use, requests, 1);
    use.hostPorts.push(...requests.hostPorts);
  }

  release(uid: string): void {
    const held = this.#held.get(uid);
    if (!held) return;
    this.#held.delete(uid);
    const use = this.#useOf(held.node);
    count(use, held.requests, -1);
    for (const port of held.requests.hostPorts) {
      use.hostPorts.splice(use.hostPorts.indexOf(port), 1);
    }
    this.#dropIfUnused(held.node);
  }

  #useOf(node: string): NodeUse {
    let use = this.#uses.get(node);
    if (!use) {
      use = { pods: 0, amounts: {}, scored: { cpu: 0, memory: 0 }, hostPorts: [] };
      this.#uses.set(node, use);
    }
    return use;
  }

  #dropIfUnused(node: string): void {
    if (!this.#nodes.has(node) && this.#uses.get(node)?.pods === 0) this.#uses.delete(node);
  }
}

function count(use: NodeUse, requests: PodRequests, sign: 1 | -1): void {
  use.pods += sign;
  for (const [resource, n] of Object.entries(requests.amounts)) {
    use.amounts[resource] = (use.amounts[resource] ?? 0) + sign * n;
  }
  const scored = scoreAmounts(requests.amounts);
  use.scored.cpu += sign * scored.cpu;
  use.scored.memory += sign * scored.memory;
}

/** A node that is not Ready takes only pods that tolerate it, whether or not it is tainted yet. */
function effectiveTaints(node: Node): readonly Taint[] {
  const taints = node.spec?.taints ?? [];
  const ready = node.status?.conditions?.find((condition) => condition.type === "Ready");
  if (ready?.status === "True") return taints;
  const key = ready?.status === "Unknown" ? UNREACHABLE_TAINT : NOT_READY_TAINT;
  if (taints.some((taint) => taint.key === key && taint.effect === "NoSchedule")) return taints;
  return [...taints, { key, effect: "NoSchedule" }];
}
