/**
 * Applies what nodes report. Who reports is the identity of the session's certificate; a report
 * about anything that is not that node's own is dropped with the reason, never applied in part.
 * Writes carry the resourceVersion they were decided on and are decided again on conflict. The
 * order of reports of one key is the hub's business.
 */
import { AppError, errorChain, isAbort, isAppError } from "../../shared/errors.ts";
import { deepEqual } from "../../shared/json/json.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import { isMirror } from "../../shared/k8s/mirror.ts";
import type { Event, Node, Pod, PodStatus } from "../../shared/k8s/types.ts";
import type { PodRef, Report } from "../../shared/wire/report.ts";
import type { ReportOutcome, ReportSink } from "../hub/port.ts";
import type { KubeClient } from "../kube/port.ts";
import { eventRepeat, eventSubject, eventToCreate, isSameEvent } from "./event_report.ts";
import { metadataPatch, nodeStatus, registration } from "./node_report.ts";
import { type MirrorPods, nodeUidOf } from "./mirror_pods.ts";
import { mergePodStatus } from "./pod_status.ts";
import type { DeviceReports } from "./device_reports.ts";
import type { ObjectCache } from "./port.ts";
import type { PrePullJobs } from "./prepull_jobs.ts";
import type { SiteIntents } from "./site_intents.ts";

/** Writers that meet on one object get through in a round or two each. */
const CONFLICT_TRIES = 8;
/** Uids of pods that ended lately, so that their last events still find them. */
const ENDED_MAX = 2_000;

const APPLIED: ReportOutcome = { kind: "applied" };

export interface ReportSinkOptions {
  kube: KubeClient;
  pods: ObjectCache<Pod>;
  nodes: ObjectCache<Node>;
  intents: SiteIntents;
  mirrors: MirrorPods;
  deviceReports: DeviceReports;
  /** Without it there are no pre-pull jobs. */
  prePulls?: PrePullJobs;
}

export class KubeReportSink implements ReportSink {
  readonly #options: ReportSinkOptions;
  /** Pod uid -> node it ran on; oldest first. */
  readonly #ended = new Map<string, string>();

  constructor(options: ReportSinkOptions) {
    this.#options = options;
  }

  async apply(node: string, report: Report, signal: AbortSignal): Promise<ReportOutcome> {
    try {
      switch (report.kind) {
        case "pod_status":
          return await this.#podStatus(node, report, signal);
        case "pod_gone":
          return await this.#podGone(node, report.pod, signal);
        case "node":
          return await this.#node(node, report.node, signal);
        case "event":
          return await this.#event(node, report.event, signal);
        case "device_status":
          return await this.#options.deviceReports.apply(node, report, signal);
        case "intent":
          return await this.#options.intents.apply(node, report.intent, signal);
        case "image_prepull":
          return await this.#options.prePulls?.apply(node, report, signal) ??
            dropped("there are no pre-pull jobs here");
        case "rule_message": // taken by cloud/rules, before they come here
        case "rule_request":
          return dropped("there are no rules here");
      }
    } catch (error) {
      return verdictOn(error, report, signal);
    }
  }

  async #podStatus(
    node: string,
    report: { pod: PodRef; status: PodStatus; mirror?: Pod },
    signal: AbortSignal,
  ): Promise<ReportOutcome> {
    const { kube, pods, mirrors } = this.#options;
    const { mirror } = report;
    const problem = mirror && await mirrors.place(node, { pod: report.pod, mirror }, signal);
    if (problem) return dropped(problem);
    const { namespace, name } = report.pod;
    let pod = pods.get(namespace, name);
    for (let attempt = 0; attempt < CONFLICT_TRIES; attempt++) {
      const isFresh = attempt > 0 || !pod;
      if (isFresh) pod = await kube.get<Pod>(GVR.pods, { namespace, name }, signal);
      const refusal = notOwn(node, pod!, report.pod); // cached, or just read
      if (refusal) {
        if (isFresh) return dropped(refusal);
        continue; // the cache may be behind: a pod recreated or bound a moment ago
      }
      const status = mergePodStatus(pod!.status, report.status);
      if (deepEqual(status, pod!.status)) {
        if (isFresh) return APPLIED;
        continue; // the cache may hold what an earlier write has changed meanwhile
      }
      try {
        await kube.update<Pod>(GVR.pods, { ...pod!, status }, signal, { subresource: "status" });
        return APPLIED;
      } catch (error) {
        if (!isAppError(error, "conflict")) throw error;
      }
    }
    throw tooManyConflicts(`pod ${namespace}/${name}`);
  }

  async #podGone(node: string, ref: PodRef, signal: AbortSignal): Promise<ReportOutcome> {
    const { kube } = this.#options;
    const { namespace, name, uid } = ref;
    const pod = await kube.get<Pod>(GVR.pods, { namespace, name }, signal);
    const refusal = notOwn(node, pod, ref);
    if (refusal) return dropped(refusal);
    if (isMirror(pod)) {
      this.#rememberEnded(uid, node);
      await this.#options.mirrors.end(pod, signal);
      return APPLIED;
    }
    // Nobody asked for it to be deleted; the word of a node alone does not remove a user's pod.
    if (!pod.metadata.deletionTimestamp) return dropped("pod is not being deleted");
    this.#rememberEnded(uid, node);
    const options = { gracePeriodSeconds: 0, preconditions: { uid } };
    await kube.delete(GVR.pods, { namespace, name }, options, signal);
    return APPLIED;
  }

  async #node(node: string, reported: Node, signal: AbortSignal): Promise<ReportOutcome> {
    if (reported.metadata.name !== node) return dropped("a node reports only itself");
    let current = this.#options.nodes.get(undefined, node);
    for (let attempt = 0; attempt < CONFLICT_TRIES; attempt++) {
      const isFresh = attempt > 0 || !current;
      if (isFresh) current = await this.#nodeOrRegister(node, reported, signal);
      try {
        if (await this.#writeNode(current!, reported, signal) || isFresh) return APPLIED;
      } catch (error) {
        if (!isAppError(error, "conflict", "not_found")) throw error;
      }
    }
    throw tooManyConflicts(`node ${node}`);
  }

  async #nodeOrRegister(node: string, reported: Node, signal: AbortSignal): Promise<Node> {
    const { kube } = this.#options;
    try {
      return await kube.get<Node>(GVR.nodes, { name: node }, signal);
    } catch (error) {
      if (!isAppError(error, "not_found")) throw error;
    }
    try {
      return await kube.create<Node>(GVR.nodes, registration(node, reported), signal);
    } catch (error) {
      if (!isAppError(error, "already_exists")) throw error;
      return await kube.get<Node>(GVR.nodes, { name: node }, signal);
    }
  }

  /** True when something was written. */
  async #writeNode(current: Node, reported: Node, signal: AbortSignal): Promise<boolean> {
    const { kube } = this.#options;
    const name = current.metadata.name ?? "";
    const body = metadataPatch(current, reported);
    let node = current;
    if (body) {
      node = await kube.patch<Node>(GVR.nodes, { name }, { type: "merge", body }, signal);
    }
    const status = nodeStatus(node, reported);
    if (status) {
      await kube.update<Node>(GVR.nodes, { ...node, status }, signal, { subresource: "status" });
    }
    return Boolean(body || status);
  }

  async #event(node: string, event: Event, signal: AbortSignal): Promise<ReportOutcome> {
    const subject = eventSubject(node, event);
    if (subject.kind === "refused") return dropped(subject.reason);
    if (subject.kind === "device") {
      const { refusal } = await this.#options.deviceReports.own(node, subject, signal);
      if (refusal !== undefined) return dropped(refusal);
    }
    if (subject.kind === "pod" && this.#ended.get(subject.uid) !== node) {
      const { namespace, name } = subject;
      const pod = this.#options.pods.get(namespace, name);
      if (!pod || notOwn(node, pod, subject)) {
        const fresh = await this.#options.kube.get<Pod>(GVR.pods, { namespace, name }, signal);
        const refusal = notOwn(node, fresh, subject);
        if (refusal) return dropped(refusal);
      }
    }
    return await this.#writeEvent(node, event, signal);
  }

  async #writeEvent(node: string, event: Event, signal: AbortSignal): Promise<ReportOutcome> {
    const { kube } = this.#options;
    const target = { namespace: event.metadata.namespace ?? "", name: event.metadata.name ?? "" };
    try {
      await kube.create<Event>(GVR.events, eventToCreate(node, event), signal);
      return APPLIED;
    } catch (error) {
      if (!isAppError(error, "already_exists")) throw error;
    }
    const existing = await kube.get<Event>(GVR.events, target, signal);
    if (!isSameEvent(node, existing, event)) return dropped("event is of another node or object");
    if ((event.count ?? 1) > (existing.count ?? 1)) {
      await kube.patch(GVR.events, target, { type: "merge", body: eventRepeat(event) }, signal);
    }
    return APPLIED;
  }

  #rememberEnded(uid: string, node: string): void {
    this.#ended.delete(uid);
    this.#ended.set(uid, node);
    if (this.#ended.size <= ENDED_MAX) return;
    for (const oldest of this.#ended.keys()) {
      this.#ended.delete(oldest);
      break;
    }
  }
}

function notOwn(node: string, pod: Pod, ref: { uid: string }): string | undefined {
  if (nodeUidOf(pod) !== ref.uid) return "pod was recreated under another uid";
  return pod.spec.nodeName === node ? undefined : "pod is not bound to this node";
}

function dropped(reason: string): ReportOutcome {
  return { kind: "dropped", reason };
}

function tooManyConflicts(what: string): AppError {
  return new AppError("unavailable", `Cannot write ${what}: too many conflicting writers`);
}

/** What can never be applied is dropped; everything else is worth another try. */
function verdictOn(error: unknown, report: Report, signal: AbortSignal): ReportOutcome {
  if (isAbort(error, signal) || !(error instanceof AppError)) throw error;
  switch (error.code) {
    case "not_found":
    case "invalid":
      return dropped(errorChain(error));
    case "conflict": // the uid precondition of a delete
      if (report.kind === "pod_gone") return dropped(errorChain(error));
      break;
    case "forbidden": // events cannot be created in a namespace that is ending
      if (report.kind === "event") return dropped(errorChain(error));
      break;
  }
  throw new AppError("unavailable", `Cannot apply ${report.kind}`, {}, { cause: error });
}
