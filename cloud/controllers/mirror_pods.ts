/**
 * Mirrors: the objects that show static pods, which nodes run from files of their own. A mirror is
 * made of what its node reports, and ends when the node says that the pod has ended. Deleting one
 * ends no pod: it goes at once and is made again, as kubelet does. A mirror never travels down.
 */
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, isAbort, isAppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import { isMirror, MIRROR_ANNOTATION } from "../../shared/k8s/mirror.ts";
import type { Node, Pod } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { PodRef } from "../../shared/wire/report.ts";
import type { KubeClient } from "../kube/port.ts";
import type { ObjectCache } from "./port.ts";
import { podKey } from "./project_node.ts";

/** Mirrors ended by their node lately, so that they are not made again. */
const ENDED_MAX = 2_000;
/** Deleted mirrors that wait; beyond, the oldest come back with their node's next session. */
const PENDING_MAX = 2_000;
const RETRY_MS = 1_000;

/** The uid by which a pod's node knows it. */
export function nodeUidOf({ metadata }: Pod): string | undefined {
  return metadata.annotations?.[MIRROR_ANNOTATION] ?? metadata.uid;
}

export interface MirrorPodsOptions {
  kube: KubeClient;
  pods: ObjectCache<Pod>;
  nodes: ObjectCache<Node>;
  clock: Clock;
}

export class MirrorPods {
  readonly #options: MirrorPodsOptions;
  readonly #log = roomLogger("cloud", "controllers", "mirrors");
  readonly #wakeup = new Wakeup();
  /** Last seen state of mirrors that somebody deletes or has deleted, by key; oldest first. */
  readonly #pending = new Map<string, Pod>();
  /** Their uids in the API; oldest first. */
  readonly #ended = new Set<string>();

  constructor(options: MirrorPodsOptions) {
    this.#options = options;
  }

  /** Makes sure that the reported static pod is shown; resolves with why it cannot be. */
  async place(
    node: string,
    { pod, mirror }: { pod: PodRef; mirror: Pod },
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { kube, pods } = this.#options;
    const refusal = notMirrorOf(node, pod, mirror);
    if (refusal) return refusal;
    const { namespace, name } = pod;
    const cached = pods.get(namespace, name);
    if (cached && isShown(cached, node, pod.uid)) return undefined;
    const found = await this.#find({ namespace, name }, signal);
    if (found && isShown(found, node, pod.uid)) return undefined;
    if (found) {
      if (!isMirror(found) || found.spec.nodeName !== node) {
        return "a pod of this name is there already, and it is no static pod of this node";
      }
      await this.end(found, signal);
    }
    try {
      await kube.create<Pod>(GVR.pods, mirror, signal);
    } catch (error) {
      if (isAppError(error, "forbidden")) return errorChain(error);
      if (!isAppError(error, "already_exists")) throw error;
    }
    return undefined;
  }

  /** The node has ended the static pod: its mirror goes for good. */
  async end(mirror: Pod, signal: AbortSignal): Promise<void> {
    const { namespace = "", name = "", uid = "" } = mirror.metadata;
    this.#ended.delete(uid);
    this.#ended.add(uid);
    if (this.#ended.size > ENDED_MAX) this.#ended.delete([...this.#ended][0]!); // just seen: > 0
    await this.#delete({ namespace, name, uid }, signal);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { pods, nodes, clock } = this.#options;
    await nodes.ready(signal);
    const unsubscribe = pods.subscribe(({ before, after }) => this.#notice(before, after));
    try {
      for (const pod of pods.list()) this.#notice(undefined, pod);
      while (true) {
        if (this.#pending.size === 0) await this.#wakeup.wait(signal);
        for (const [key, pod] of [...this.#pending]) {
          if (await this.#restore(pod, signal)) this.#pending.delete(key);
        }
        if (this.#pending.size > 0) await clock.sleep(RETRY_MS, signal);
      }
    } finally {
      unsubscribe();
    }
  }

  #notice(before: Pod | undefined, after: Pod | undefined): void {
    const pod = after ?? before;
    if (!pod || !isMirror(pod)) return;
    if (after && !after.metadata.deletionTimestamp) return;
    this.#pending.set(podKey(pod), pod);
    if (this.#pending.size > PENDING_MAX) {
      this.#pending.delete([...this.#pending.keys()][0]!); // not empty
    }
    this.#wakeup.wake();
  }

  /** True when nothing is left to do for a mirror that is being deleted, or was. */
  async #restore(pod: Pod, signal: AbortSignal): Promise<boolean> {
    const { kube, nodes } = this.#options;
    const { namespace = "", name = "", uid = "" } = pod.metadata;
    try {
      await this.#delete({ namespace, name, uid }, signal);
      if (this.#ended.has(uid) || !nodes.get(undefined, pod.spec.nodeName ?? "")) return true;
      const created = await kube.create<Pod>(GVR.pods, reborn(pod), signal);
      const next = { ...created, status: { ...pod.status } };
      await kube.update<Pod>(GVR.pods, next, signal, { subresource: "status" });
      return true;
    } catch (error) {
      if (isAbort(error, signal) || !(error instanceof AppError)) throw error;
      if (isAppError(error, "unavailable", "internal", "exhausted")) return false;
      if (isAppError(error, "already_exists", "conflict")) return true;
      this.#log.warn("Cannot show static pod", { pod: podKey(pod), error: errorChain(error) });
      return true;
    }
  }

  async #find(
    target: { namespace: string; name: string },
    signal: AbortSignal,
  ): Promise<Pod | undefined> {
    try {
      return await this.#options.kube.get<Pod>(GVR.pods, target, signal);
    } catch (error) {
      if (isAppError(error, "not_found")) return undefined;
      throw error;
    }
  }

  /** Absent, or another by now, is the goal too. */
  async #delete({ namespace, name, uid }: PodRef, signal: AbortSignal): Promise<void> {
    const options = { gracePeriodSeconds: 0, preconditions: { uid } };
    try {
      await this.#options.kube.delete(GVR.pods, { namespace, name }, options, signal);
    } catch (error) {
      if (!isAppError(error, "not_found", "conflict")) throw error;
    }
  }
}

function isShown(pod: Pod, node: string, uid: string): boolean {
  return isMirror(pod) && nodeUidOf(pod) === uid && pod.spec.nodeName === node &&
    !pod.metadata.deletionTimestamp;
}

function notMirrorOf(node: string, ref: PodRef, mirror: Pod): string | undefined {
  const { metadata, spec } = mirror;
  const isSame = metadata.name === ref.name && metadata.namespace === ref.namespace &&
    nodeUidOf(mirror) === ref.uid && isMirror(mirror);
  if (!isSame) return "mirror is of another pod than its status";
  return spec?.nodeName === node ? undefined : "mirror is not bound to this node";
}

/** Without what the server gave the one before. */
function reborn({ metadata, status: _status, ...pod }: Pod): Pod {
  const { name, namespace, labels, annotations } = metadata;
  const kept = Object.fromEntries(
    Object.entries({ name, namespace, labels, annotations }).filter(([, v]) => v !== undefined),
  );
  return { ...pod, metadata: kept } as Pod; // the spec is untouched
}
