/**
 * Removes pods that nobody will ever confirm: pods whose node object is gone, deleted pods that
 * never got a node, deleted pods of nodes taken out of service, and the oldest ended pods above a
 * bound. A deleted pod of a node that is merely away stays Terminating until the node confirms, its
 * object is deleted, or someone forces it; but no node keeps more than a bound of them: the oldest
 * go, and the node ends them when it comes back, because it finds them in no projection.
 * `planPodGc` is pure. Used with the embedded API only; a real cluster brings its own.
 */
import type { Clock } from "../../shared/clock.ts";
import { toTime } from "../../shared/clock.ts";
import { AppError, errorChain, isAbort, isAppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Condition, Node, Pod } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { KubeClient } from "../kube/port.ts";
import { forEachBounded } from "./bounded.ts";
import type { LossGuard } from "./loss_guard.ts";
import { mergeConditions } from "./pod_status.ts";
import type { ObjectCache } from "./port.ts";
import { nodeKey, podKey } from "./project_node.ts";
import { OUT_OF_SERVICE_TAINT } from "./taints.ts";

/** kube-controller-manager's period. */
const PERIOD_MS = 20_000;
const WRITES_MAX = 16;

export interface PodGcBounds {
  /** A node must be missing this long before its pods go. */
  quarantineMs: number;
  terminatedPodsMax: number;
  /** Deleted pods that one absent node may leave waiting. */
  terminatingPodsMax: number;
}

export interface PodGcWorld {
  pods: Iterable<Pod>;
  node(name: string): Node | undefined;
  /** A node that has a session is not gone, whatever became of its object. */
  isLive(name: string): boolean;
  /** The node's object is missing, and perhaps only because a damaged store lost it (ADR 0011). */
  mayBeLost?(name: string): boolean;
  /** Node name -> monotonic time since when it is missing, from the last plan. */
  missingSinceMs: ReadonlyMap<string, number>;
  monotonicMs: number;
}

export interface PodGcPlan {
  orphans: Pod[];
  removals: Pod[];
  missingSinceMs: Map<string, number>;
}

export function planPodGc(world: PodGcWorld, bounds: PodGcBounds): PodGcPlan {
  const plan: PodGcPlan = { orphans: [], removals: [], missingSinceMs: new Map() };
  const ended: Pod[] = [];
  const waiting = new Map<string, Pod[]>();
  for (const pod of world.pods) {
    const name = pod.spec.nodeName;
    const isDeleted = Boolean(pod.metadata.deletionTimestamp);
    if (!name) {
      if (isDeleted) plan.removals.push(pod);
      else if (hasEnded(pod)) ended.push(pod);
      continue;
    }
    const node = world.node(name);
    if (!node && world.mayBeLost?.(name)) continue;
    if (!node && !world.isLive(name)) {
      const sinceMs = world.missingSinceMs.get(name) ?? world.monotonicMs;
      plan.missingSinceMs.set(name, sinceMs);
      if (world.monotonicMs - sinceMs >= bounds.quarantineMs) plan.orphans.push(pod);
    } else if (isDeleted && node && isOutOfService(node)) plan.removals.push(pod);
    else if (isDeleted && !world.isLive(name)) {
      const pods = waiting.get(name) ?? [];
      waiting.set(name, pods);
      pods.push(pod);
    } else if (hasEnded(pod) && !isDeleted) ended.push(pod);
  }
  for (const pods of waiting.values()) {
    const excess = pods.length - bounds.terminatingPodsMax;
    if (excess > 0) plan.removals.push(...pods.sort(byDeletion).slice(0, excess));
  }
  const excess = ended.length - bounds.terminatedPodsMax;
  if (excess > 0) plan.removals.push(...ended.sort(byAge).slice(0, excess));
  return plan;
}

function hasEnded(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

function isOutOfService(node: Node): boolean {
  const ready = node.status?.conditions?.find((condition) => condition.type === "Ready");
  return ready?.status !== "True" &&
    Boolean(node.spec?.taints?.some((taint) => taint.key === OUT_OF_SERVICE_TAINT));
}

function byDeletion(a: Pod, b: Pod): number {
  const deleted = (pod: Pod) => pod.metadata.deletionTimestamp ?? "";
  return deleted(a) < deleted(b) ? -1 : deleted(a) > deleted(b) ? 1 : 0;
}

function byAge(a: Pod, b: Pod): number {
  const created = (pod: Pod) => pod.metadata.creationTimestamp ?? "";
  return created(a) < created(b) ? -1 : created(a) > created(b) ? 1 : 0;
}

export interface PodGcOptions extends PodGcBounds {
  kube: KubeClient;
  pods: ObjectCache<Pod>;
  nodes: ObjectCache<Node>;
  isLive(node: string): boolean;
  /** Without it nothing can have been lost. */
  lossGuard?: LossGuard;
  clock: Clock;
}

export class PodGc {
  readonly #options: PodGcOptions;
  readonly #log = roomLogger("cloud", "controllers", "pod_gc");
  #missingSinceMs: ReadonlyMap<string, number> = new Map();

  constructor(options: PodGcOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { pods, nodes, clock } = this.#options;
    await Promise.all([pods.ready(signal), nodes.ready(signal)]);
    while (true) {
      await this.#pass(signal);
      await clock.sleep(PERIOD_MS, signal);
    }
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const { pods, nodes, clock, isLive, lossGuard } = this.#options;
    const plan = planPodGc({
      pods: pods.list(),
      node: (name) => nodes.get(undefined, name),
      isLive,
      mayBeLost: (name) => lossGuard?.mayHaveLost({ key: nodeKey(name) }) ?? false,
      missingSinceMs: this.#missingSinceMs,
      monotonicMs: clock.monotonicMs(),
    }, this.#options);
    this.#missingSinceMs = plan.missingSinceMs;
    await forEachBounded(plan.orphans, WRITES_MAX, (pod) => this.#removeOrphan(pod, signal));
    await forEachBounded(plan.removals, WRITES_MAX, (pod) => this.#remove(pod, signal));
  }

  async #removeOrphan(pod: Pod, signal: AbortSignal): Promise<void> {
    const { kube } = this.#options;
    try {
      await kube.get(GVR.nodes, { name: pod.spec.nodeName ?? "" }, signal);
      return; // the cache was behind: the node is there
    } catch (error) {
      if (isAbort(error, signal) || !(error instanceof AppError)) throw error;
      if (!isAppError(error, "not_found")) return;
    }
    await this.#attempt(pod, signal, async () => {
      if (!hasEnded(pod)) {
        const next = { ...pod, status: { ...pod.status, ...this.#failure(pod) } };
        await kube.update<Pod>(GVR.pods, next, signal, { subresource: "status" });
      }
    });
    await this.#remove(pod, signal);
  }

  #failure(pod: Pod): { phase: "Failed"; conditions: Condition[] } {
    const condition: Condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "DeletionByPodGC",
      message: "PodGC: node no longer exists",
      lastTransitionTime: toTime(this.#options.clock.nowMs()),
    };
    return { phase: "Failed", conditions: mergeConditions(pod.status?.conditions, [condition]) };
  }

  async #remove(pod: Pod, signal: AbortSignal): Promise<void> {
    const { namespace = "", name = "", uid = "" } = pod.metadata;
    const options = { gracePeriodSeconds: 0, preconditions: { uid } };
    await this.#attempt(pod, signal, async () => {
      await this.#options.kube.delete(GVR.pods, { namespace, name }, options, signal);
      this.#log.info("Pod removed", { pod: podKey(pod), node: pod.spec.nodeName });
    });
  }

  /** One pod that cannot be written now never holds up the others; the next pass sees it again. */
  async #attempt(pod: Pod, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (isAbort(error, signal) || !(error instanceof AppError)) throw error;
      if (isAppError(error, "not_found", "conflict")) return;
      this.#log.warn("Cannot remove pod", { pod: podKey(pod), error: errorChain(error) });
    }
  }
}
