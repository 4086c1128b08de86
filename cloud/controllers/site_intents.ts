/**
 * Merges what people at a site asked for, by the rules of ADR 0009. A removal is a request: it is
 * followed when the object is what the site saw (uid and spec digest), else the cloud's word holds,
 * and a mark on the object tells the node so. Everything written is named after the intent's id, so
 * that an intent that arrives twice is merged once.
 */
import { type Clock, toTime } from "../../shared/clock.ts";
import { AppError, errorChain, isAbort, isAppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Event, ObjectReference, Pod } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import {
  CONFLICT_ANNOTATION,
  conflictOf,
  formatConflict,
  type PodIntent,
  type SiteIntent,
  specDigest,
} from "../../shared/wire/site_intent.ts";
import type { ReportOutcome } from "../hub/port.ts";
import type { KubeClient } from "../kube/port.ts";
import { CLUSTER_EVENTS_NAMESPACE } from "./event_report.ts";
import { nodeReference, type Note, SiteTwins } from "./site_twins.ts";

/** A pod's status is written all the time; each round decides on what is there then. */
const CONFLICT_TRIES = 8;
/** Of an intent's id in the name of an event: enough to tell intents of one object apart. */
const ID_CHARS = 18;

const APPLIED: ReportOutcome = { kind: "applied" };

export class SiteIntents {
  readonly #kube: KubeClient;
  readonly #clock: Clock;
  readonly #twins: SiteTwins;
  readonly #log = roomLogger("cloud", "controllers", "site");

  constructor(options: { kube: KubeClient; clock: Clock }) {
    this.#kube = options.kube;
    this.#clock = options.clock;
    this.#twins = new SiteTwins({
      kube: options.kube,
      tell: (about, intent, note, signal) => this.#tell(about, intent, note, signal),
    });
  }

  async apply(node: string, intent: SiteIntent, signal: AbortSignal): Promise<ReportOutcome> {
    if (intent.verb === "set_twin") return await this.#twins.apply(node, intent, signal);
    return intent.verb === "remove"
      ? await this.#remove(node, intent, signal)
      : await this.#restart(node, intent, signal);
  }

  /** Nothing to merge: the pod is the same. The node's events keep what was done to it. */
  async #restart(node: string, intent: PodIntent, signal: AbortSignal): Promise<ReportOutcome> {
    const what = intent.container ? `container ${intent.container} of pod` : "pod";
    const note: Note = {
      type: "Normal",
      reason: "SiteRestart",
      message: `Restarted ${what} ${
        title(intent)
      }: asked at the site by ${intent.by}, ${intent.at}`,
    };
    await this.#tell(nodeReference(node), intent, note, signal);
    return APPLIED;
  }

  async #remove(node: string, intent: PodIntent, signal: AbortSignal): Promise<ReportOutcome> {
    const { namespace, name, uid } = intent.pod;
    for (let attempt = 0; attempt < CONFLICT_TRIES; attempt++) {
      const pod = await this.#find(namespace, name, signal);
      if (!pod || pod.metadata.deletionTimestamp) return APPLIED;
      if (pod.metadata.uid !== uid) {
        const reason = "the pod was replaced by another of this name";
        await this.#tellConflict(node, pod, { ...intent, reason }, signal);
        return APPLIED;
      }
      if (pod.spec.nodeName !== node) {
        return { kind: "dropped", reason: "pod is not bound to this node" };
      }
      if (conflictOf(pod)?.intent === intent.id) return APPLIED; // decided the last time it came
      try {
        const changed = specDigest(pod) !== intent.specDigest;
        const refusal = changed
          ? "the pod was changed after the site had seen it"
          : await this.#delete(pod, intent, signal);
        if (refusal !== undefined) {
          await this.#mark(node, pod, { ...intent, reason: refusal }, signal);
        }
        return APPLIED;
      } catch (error) {
        if (!isAppError(error, "conflict")) throw error;
      }
    }
    throw new AppError("unavailable", `Cannot delete pod ${title(intent)}: too many writers`);
  }

  async #find(namespace: string, name: string, signal: AbortSignal): Promise<Pod | undefined> {
    try {
      return await this.#kube.get<Pod>(GVR.pods, { namespace, name }, signal);
    } catch (error) {
      if (isAppError(error, "not_found")) return undefined;
      throw error;
    }
  }

  /** Deletes exactly the version that was judged; says why when the API does not allow it. */
  async #delete(pod: Pod, intent: PodIntent, signal: AbortSignal): Promise<string | undefined> {
    const { namespace, name, uid } = intent.pod;
    const { resourceVersion } = pod.metadata;
    const preconditions = { uid, ...(resourceVersion === undefined ? {} : { resourceVersion }) };
    try {
      await this.#kube.delete(GVR.pods, { namespace, name }, { preconditions }, signal);
    } catch (error) {
      if (isAppError(error, "forbidden", "invalid")) return errorChain(error);
      if (!isAppError(error, "not_found")) throw error;
    }
    const message = `Deleted: asked at the site ${intent.at} by ${intent.by}`;
    await this.#tell(
      podReference(pod),
      intent,
      { type: "Normal", reason: "SiteRemove", message },
      signal,
    );
    return undefined;
  }

  /** Events before the mark: an intent that is marked is not looked at again. */
  async #mark(
    node: string,
    pod: Pod,
    intent: PodIntent & { reason: string },
    signal: AbortSignal,
  ): Promise<void> {
    await this.#tellConflict(node, pod, intent, signal);
    const { namespace, name, uid } = intent.pod;
    const mark = formatConflict({ intent: intent.id, reason: intent.reason });
    const body = { metadata: { uid, annotations: { [CONFLICT_ANNOTATION]: mark } } };
    await this.#kube.patch<Pod>(GVR.pods, { namespace, name }, { type: "merge", body }, signal);
  }

  async #tellConflict(
    node: string,
    pod: Pod,
    intent: PodIntent & { reason: string },
    signal: AbortSignal,
  ): Promise<void> {
    const message = `Not deleted, though asked at the site ${intent.at} by ${intent.by}: ` +
      `${intent.reason}; it runs on`;
    const note: Note = { type: "Warning", reason: "SiteEditConflict", message };
    await this.#tell(podReference(pod), intent, note, signal);
    const about = { ...note, message: `Pod ${title(intent)}: ${message}` };
    await this.#tell(nodeReference(node), intent, about, signal);
  }

  /** For people: an event that cannot be written holds nothing up. */
  async #tell(
    about: ObjectReference,
    intent: { id: string },
    note: Note,
    signal: AbortSignal,
  ): Promise<void> {
    const time = toTime(this.#clock.nowMs());
    const event: Event = {
      apiVersion: "v1",
      kind: "Event",
      metadata: {
        name: `${about.name}.${intent.id.slice(0, ID_CHARS)}`,
        namespace: about.namespace ?? CLUSTER_EVENTS_NAMESPACE,
      },
      involvedObject: about,
      ...note,
      source: { component: "site-intents" },
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
      reportingComponent: "site-intents",
      reportingInstance: "",
    };
    try {
      await this.#kube.create<Event>(GVR.events, event, signal);
    } catch (error) {
      if (isAbort(error, signal)) throw error;
      if (isAppError(error, "already_exists")) return;
      this.#log.info("Event not written", { reason: note.reason, error: errorChain(error) });
    }
  }
}

function title({ pod }: PodIntent): string {
  return `${pod.namespace}/${pod.name}`;
}

function podReference(pod: Pod): ObjectReference {
  const { namespace, name, uid } = pod.metadata;
  return {
    apiVersion: "v1",
    kind: "Pod",
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
    ...(uid === undefined ? {} : { uid }),
  };
}

/** As kubelet refers to a node in events: the name stands for the uid. */
