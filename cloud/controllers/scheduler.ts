/**
 * Gives every pending pod a node, within milliseconds: it wakes on each change that may matter,
 * decides with `placePod` for all pending pods in order of priority, and binds side by side.
 *
 *     pending -> assumed (counted on its node) -> bound       the cache shows spec.nodeName
 *                       \-> pending                           binding failed; tried again
 *     pending -> waiting: PodScheduled=False and an event, once per message; decided anew on change
 *
 * Losing a race for a pod is not an error: the next pass sees the new world. Used with the embedded
 * API only; a real cluster brings its scheduler.
 */
import { type Clock, toTime } from "../../shared/clock.ts";
import { AppError, errorChain, isAbort, isAppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Condition, KubeObject, Node, Pod } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { KubeClient } from "../kube/port.ts";
import { forEachBounded } from "./bounded.ts";
import { EventRecorder } from "./events.ts";
import { NodeViews } from "./node_view.ts";
import { placePod } from "./placement.ts";
import { claimsOfPod, type PodClaims } from "./pod_claims.ts";
import { mergeConditions } from "./pod_status.ts";
import type { ObjectCache, ObjectChange } from "./port.ts";
import { podKey } from "./project_node.ts";
import { type ClaimObject, SELECTED_NODE } from "./storage_types.ts";
import type { StorageCaches } from "./volume_binder.ts";

export const SCHEDULER_NAME = "default-scheduler";

/** Writes side by side; commits that wait together share one sync of the disk. */
const WRITES_MAX = 32;
const RETRY_MS = 1_000;

export interface SchedulerOptions {
  kube: KubeClient;
  pods: ObjectCache<Pod>;
  nodes: ObjectCache<Node>;
  clock: Clock;
  random: Random;
  /** Without it no pod's claims are looked at. */
  storage?: StorageCaches;
}

type Act = (signal: AbortSignal) => Promise<void>;

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #events: EventRecorder;
  readonly #log = roomLogger("cloud", "controllers", "scheduler");
  readonly #views = new NodeViews();
  readonly #pending = new Map<string, Pod>();
  /** Pod uid of bindings the cache does not show yet. */
  readonly #assumed = new Set<string>();
  readonly #wakeup = new Wakeup();
  #failures = 0;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    const { kube, clock, random } = options;
    this.#events = new EventRecorder(kube, clock, random, SCHEDULER_NAME);
    options.pods.subscribe((change) => this.#onPod(change));
    const { claims, volumes, classes } = options.storage ?? {};
    for (const cache of [claims, volumes, classes]) {
      cache?.subscribe(() => this.#wakeIfPending());
    }
    options.nodes.subscribe((change) => {
      if (change.after) this.#views.setNode(change.after);
      else this.#views.removeNode(change.before?.metadata.name ?? "");
      this.#wakeIfPending();
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { pods, nodes, clock } = this.#options;
    const caches = [pods, nodes, ...Object.values(this.#options.storage ?? {})];
    await Promise.all(caches.map((cache: ObjectCache<never>) => cache.ready(signal)));
    this.#wakeup.wake();
    while (true) {
      await this.#wakeup.wait(signal);
      this.#failures = 0;
      await forEachBounded(this.#decideAll(), WRITES_MAX, (act) => act(signal));
      if (this.#failures === 0) continue;
      await waitAtMost(this.#wakeup, clock, RETRY_MS, signal);
      this.#wakeup.wake();
    }
  }

  #onPod({ before, after }: ObjectChange<Pod>): void {
    const uid = before?.metadata.uid;
    if (uid && uid !== after?.metadata.uid) this.#forget(before, uid);
    if (!after) return;
    const key = podKey(after);
    const node = after.spec.nodeName;
    if (!node) {
      if (isOurs(after) && !this.#assumed.has(after.metadata.uid ?? "")) {
        this.#pending.set(key, after);
        this.#wakeup.wake();
      } else this.#pending.delete(key);
      return;
    }
    this.#pending.delete(key);
    this.#assumed.delete(after.metadata.uid ?? "");
    if (hasEnded(after)) {
      this.#views.release(after.metadata.uid ?? "");
      this.#wakeIfPending();
    } else this.#views.hold(after, node);
  }

  #forget(pod: Pod, uid: string): void {
    this.#pending.delete(podKey(pod));
    this.#assumed.delete(uid);
    this.#views.release(uid);
    this.#wakeIfPending();
  }

  #wakeIfPending(): void {
    if (this.#pending.size > 0) this.#wakeup.wake();
  }

  /** Decides for all pending pods; each placed one is counted before the next is looked at. */
  #decideAll(): Act[] {
    const acts: Act[] = [];
    const views = this.#views.views();
    for (const pod of [...this.#pending.values()].sort(byPriority)) {
      const wanted = this.#claimsOf(pod);
      const placement = wanted.kind === "place" ? placePod(pod, views, wanted.fault) : {
        kind: "wait" as const,
        message: `0/${views.length} nodes are available: ${wanted.message}.`,
      };
      if (placement.kind === "place" && wanted.kind === "place" && wanted.unbound.length > 0) {
        // the pod goes there when its claims are bound, which wakes
        const untold = wanted.unbound.filter((claim) => selectedNode(claim) !== placement.node);
        acts.push(...untold.map((claim): Act => (s) => this.#select(claim, placement.node, s)));
      } else if (placement.kind === "place") {
        this.#pending.delete(podKey(pod));
        this.#assumed.add(pod.metadata.uid ?? "");
        this.#views.hold(pod, placement.node);
        acts.push((signal) => this.#bind(pod, placement.node, signal));
      } else if (!saysAlready(pod, placement.message)) {
        acts.push((signal) => this.#tellWaiting(pod, placement.message, signal));
      }
    }
    return acts;
  }

  #claimsOf(pod: Pod): PodClaims {
    const { storage } = this.#options;
    if (!storage) return { kind: "place", fault: () => undefined, unbound: [] };
    return claimsOfPod(pod, {
      claim: (namespace, name) => storage.claims.get(namespace, name),
      volume: (name) => storage.volumes.get(undefined, name),
      volumes: () => storage.volumes.list(),
      storageClass: (name) => storage.classes.get(undefined, name),
    });
  }

  /** Tells the binder where the first pod of a claim shall run. */
  async #select(claim: ClaimObject, node: string, signal: AbortSignal): Promise<void> {
    const { namespace = "", name = "" } = claim.metadata;
    const body = { metadata: { annotations: { [SELECTED_NODE]: node } } };
    try {
      const patch = { type: "merge", body } as const;
      await this.#options.kube.patch(GVR.claims, { namespace, name }, patch, signal);
    } catch (error) {
      if (isAbort(error, signal) || !(error instanceof AppError)) throw error;
      if (!isAppError(error, "not_found")) this.#failures++;
      this.#log.info("Claim not told its node", { claim: name, error: errorChain(error) });
    }
  }

  async #bind(pod: Pod, node: string, signal: AbortSignal): Promise<void> {
    const { name = "", namespace = "", uid = "" } = pod.metadata;
    const binding: KubeObject = {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { name, namespace, uid },
      target: { apiVersion: "v1", kind: "Node", name: node },
    };
    try {
      const target = { namespace, name, subresource: "binding" };
      await this.#options.kube.create(GVR.pods, binding, signal, target);
    } catch (error) {
      if (isAbort(error, signal) || !(error instanceof AppError)) throw error;
      return this.#unassume(pod, error);
    }
    const message = `Successfully assigned ${namespace}/${name} to ${node}`;
    await this.#events.record(asPod(pod), { type: "Normal", reason: "Scheduled", message }, signal);
  }

  #unassume(pod: Pod, error: AppError): void {
    const { name = "", namespace, uid = "" } = pod.metadata;
    this.#log.info("Binding failed", { pod: podKey(pod), error: errorChain(error) });
    if (!this.#assumed.delete(uid)) return; // the cache has told of its end or its binding since
    this.#views.release(uid);
    const current = this.#options.pods.get(namespace, name);
    if (!current || current.metadata.uid !== uid || current.spec.nodeName) return;
    this.#pending.set(podKey(current), current);
    this.#failures++;
  }

  async #tellWaiting(pod: Pod, message: string, signal: AbortSignal): Promise<void> {
    const condition: Condition = {
      type: "PodScheduled",
      status: "False",
      reason: "Unschedulable",
      message,
      lastProbeTime: null,
      lastTransitionTime: since(pod) ?? toTime(this.#options.clock.nowMs()),
    };
    const conditions = mergeConditions(pod.status?.conditions, [condition]);
    const next = { ...pod, status: { phase: "Pending" as const, ...pod.status, conditions } };
    try {
      await this.#options.kube.update<Pod>(GVR.pods, next, signal, { subresource: "status" });
    } catch (error) {
      if (isAbort(error, signal) || !(error instanceof AppError)) throw error;
      // A conflict or an end comes with a change that wakes; anything else is tried again.
      if (!isAppError(error, "conflict", "not_found")) this.#failures++;
      this.#log.info("Condition not written", { pod: podKey(pod), error: errorChain(error) });
      return;
    }
    const note = { type: "Warning", reason: "FailedScheduling", message } as const;
    await this.#events.record(asPod(pod), note, signal);
  }
}

function selectedNode(claim: ClaimObject): string | undefined {
  return claim.metadata.annotations?.[SELECTED_NODE];
}

function isOurs(pod: Pod): boolean {
  const gates = (pod.spec as { schedulingGates?: unknown[] }).schedulingGates; // core/v1
  return (pod.spec.schedulerName ?? SCHEDULER_NAME) === SCHEDULER_NAME &&
    !pod.metadata.deletionTimestamp && !hasEnded(pod) && !gates?.length;
}

function hasEnded(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

function scheduledCondition(pod: Pod): Condition | undefined {
  return pod.status?.conditions?.find((condition) => condition.type === "PodScheduled");
}

function saysAlready(pod: Pod, message: string): boolean {
  const condition = scheduledCondition(pod);
  return condition?.status === "False" && condition.message === message;
}

/** When the pod was first found to have no place. */
function since(pod: Pod): string | undefined {
  const condition = scheduledCondition(pod);
  return condition?.status === "False" ? condition.lastTransitionTime ?? undefined : undefined;
}

function byPriority(a: Pod, b: Pod): number {
  const created = (pod: Pod) => pod.metadata.creationTimestamp ?? "";
  return (b.spec.priority ?? 0) - (a.spec.priority ?? 0) ||
    (created(a) < created(b) ? -1 : created(a) > created(b) ? 1 : 0);
}

/** Lists leave the kind out; an event must say it. */
function asPod(pod: Pod): Pod {
  return { ...pod, apiVersion: "v1", kind: "Pod" };
}
