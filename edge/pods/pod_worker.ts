/**
 * Everything the agent keeps of one pod, and one pass over it: observe, plan, record the status,
 * act, and again until nothing is left to do. One pass at a time per pod; what happens meanwhile
 * marks it dirty and the pass is made anew.
 *
 *     idle -> passing -> idle(wakeAt?) ...   passing -> ended (nothing is left of it)
 */
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import type { Pod, PodStatus } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { PodRef } from "../../shared/wire/report.ts";
import type { PodRecords } from "../meta/port.ts";
import { type Admissions, specProblem } from "./admission.ts";
import type { BackoffTable } from "./backoff_table.ts";
import type { Outcome, PodExecutor, PodWork } from "./executor.ts";
import type { EmptyDirLimits } from "./housekeeping/empty_dir_limits.ts";
import type { Images } from "./images.ts";
import { containerHash } from "./marks.ts";
import type { NodeView } from "./node_view.ts";
import type { ObservedPod } from "./observed.ts";
import type { Listing, RuntimeObserver } from "./observer.ts";
import { planPod, type PodPlan, type Waiting } from "./plan.ts";
import { heldWaiting, isCarriedOut, markReplaced, victimsOf, withSiteGrace } from "./plan_site.ts";
import {
  DEADLINE_EXCEEDED,
  deadlineLeftMs,
  type Hold,
  type PodVerdict,
  type PodVerdicts,
} from "./plan_deadline.ts";
import { findContainer } from "./pod_containers.ts";
import type { PodCgroups } from "./pod_cgroups.ts";
import type { PodEvents } from "./pod_events.ts";
import type { SiteAct, SiteActs } from "./port.ts";
import type { PodHealth } from "./probes/health.ts";
import type { Prober } from "./probes/prober.ts";
import type { RuntimeWatch } from "./runtime_watch.ts";
import { podStatus, rejectedStatus } from "./status.ts";
import { mirrorOf } from "./static_pods/static_file.ts";
import { podLogDir } from "./to_cri.ts";
import { isSafeName } from "./volumes/paths.ts";
import { type PodVolumes, VolumeError } from "./volumes/pod_volumes.ts";

export interface WorkerDeps {
  clock: Clock;
  records: PodRecords;
  events: PodEvents;
  observer: RuntimeObserver;
  executor: PodExecutor;
  volumes: PodVolumes;
  images: Images;
  prober: Prober;
  emptyDirLimits: EmptyDirLimits;
  /** The node itself, when it is short of something. */
  verdicts: PodVerdicts | undefined;
  admissions: Admissions;
  siteActs: SiteActs;
  node: NodeView;
  watch: RuntimeWatch;
  cgroups: PodCgroups;
  /** Told after each status that was recorded. */
  onRecorded: () => void;
}

/** Steps of one pass: an init container takes two; beyond is a plan that spins. */
const STEPS_MAX = 200;
const RETRY_MS_INITIAL = 1_000;
const RETRY_MS_MAX = 60_000;

export class PodWorker {
  readonly ref: PodRef;
  readonly #deps: WorkerDeps;
  readonly #log = roomLogger("edge", "pods");
  readonly #waiting = new Map<string, Waiting>();
  readonly #backoffs: BackoffTable = new Map();
  #pod: Pod | undefined;
  /** Volumes are looked at again when what they come from has changed. */
  #volumesStale = true;
  #failures = 0;
  #interrupt = new AbortController();
  /** The next status is told though it is as before. */
  #retell = false;
  /** Monotonic; since when the pod has been active on the node. */
  #activeSinceMs: number | undefined;
  /** Monotonic; since when the pod has been ending. */
  #endingSinceMs: number | undefined;
  /** Monotonic; when to pass again without any other cause. */
  wakeAtMs: number | undefined;
  ended = false;

  constructor(ref: PodRef, pod: Pod | undefined, deps: WorkerDeps) {
    this.ref = ref;
    this.#pod = pod;
    this.#deps = deps;
  }

  get pod(): Pod | undefined {
    return this.#pod;
  }

  /** Cuts off what a pass waits for when the pod shall now end sooner, or be another. */
  setDesired(pod: Pod | undefined): void {
    const before = this.#pod;
    this.#pod = pod;
    this.#failures = 0;
    this.#volumesStale = true;
    // The new, shorter grace counts from now.
    if (urgency(pod) < urgency(before)) this.#endingSinceMs = undefined;
    if (urgency(pod) < urgency(before) || shape(pod) !== shape(before)) {
      this.#interrupt.abort(new AppError("canceled", "The desired pod has changed"));
    }
  }

  /** Objects its volumes or environment come from have changed. */
  sourcesChanged(): void {
    this.#failures = 0;
    this.#volumesStale = true;
  }

  /** The next pass tells the status again. */
  retell(): void {
    this.#retell = true;
  }

  /** The site asked for something, or holds the pod no more. */
  actsChanged(): void {
    this.#failures = 0;
    this.#interrupt.abort(new AppError("canceled", "The site has asked for something"));
  }

  /** Throws only what is not this pod's own trouble: an abort, a lost runtime, a bug. */
  async pass(shutdown: AbortSignal, listed?: Listing): Promise<void> {
    this.#interrupt = new AbortController();
    const patient = AbortSignal.any([shutdown, this.#interrupt.signal]);
    this.wakeAtMs = undefined;
    try {
      for (let steps = 0; !this.ended; steps++) {
        const spins = steps >= STEPS_MAX;
        const outcome = spins ? { ok: false } : await this.#step(
          { shutdown, patient },
          steps === 0 ? listed : undefined,
        );
        if (spins) this.#log.warn("Pod does not come to rest", { ...this.ref });
        if (!outcome) return;
        if (outcome.ok) {
          this.#failures = 0;
          continue;
        }
        this.#retryLater(outcome.retryAtMs);
        await this.#recordNow(shutdown);
        return;
      }
    } catch (error) {
      if (this.#interrupt.signal.aborted && !shutdown.aborted) {
        this.wakeAtMs = this.#deps.clock.monotonicMs();
        return;
      }
      this.#retryLater(undefined);
      throw error;
    }
  }

  /** One observation and what follows from it; undefined when there is nothing (more) to do. */
  async #step(
    signals: { shutdown: AbortSignal; patient: AbortSignal },
    listed: Listing | undefined,
  ): Promise<Outcome | undefined> {
    const pod = this.#pod;
    const seen = await this.#deps.observer.observe(this.ref, signals.shutdown, listed);
    // Nobody else records this pod's status: it is read, and decoded, once.
    const before = this.#previous();
    if (pod && await this.#refused(pod, seen, before)) return undefined;
    if (pod && await this.#unusable(pod)) return undefined;
    const observed = await this.#takeActs(seen);
    const { plan, previous } = await this.#planAndRecord(pod, observed, before);
    if (plan.ended) {
      await this.#finish(pod);
      return undefined;
    }
    const work: PodWork = {
      ref: this.ref,
      pod,
      observed,
      previous,
      waiting: this.#waiting,
      backoffs: this.#backoffs,
    };
    this.wakeAtMs = plan.wakeAtMs;
    if (plan.actions.length === 0) return await this.#refreshVolumes(work);
    return await this.#deps.executor.run(work, plan.actions, signals);
  }

  /** Begins and ends what the site asked for; what it replaces is marked in the result. */
  async #takeActs(observed: ObservedPod): Promise<ObservedPod> {
    const { siteActs, images } = this.#deps;
    for (const act of this.#acts()) {
      if (act.victims) continue;
      await siteActs.begin(act.id, victimsOf(act, observed));
      await this.#tellAct(act);
      this.#waiting.clear();
      images.forget(this.ref.uid); // whoever asks for a restart does not want to wait for a pull
    }
    for (const act of this.#acts()) {
      if (!act.carriedOut && isCarriedOut(act, observed)) await siteActs.done(act.id);
    }
    return markReplaced(observed, this.#acts());
  }

  async #tellAct({ verb, by, container }: SiteAct): Promise<void> {
    await this.#deps.events.emit(this.ref, {
      type: "Normal",
      reason: verb === "remove" ? "SiteRemove" : "SiteRestart",
      message: `Asked at the site by ${by}: ${verb}${container ? ` container ${container}` : ""}`,
    });
  }

  #acts(): readonly SiteAct[] {
    return this.#deps.siteActs.of(this.ref.uid);
  }

  async #planAndRecord(
    pod: Pod | undefined,
    observed: ObservedPod,
    before: PodStatus | undefined,
  ): Promise<{ plan: PodPlan; previous: PodStatus | undefined }> {
    const health = this.#health(pod, observed, before);
    const acts = this.#acts();
    const make = (previous: PodStatus | undefined) =>
      planPod({
        pod: pod && this.#withNodesGrace(withSiteGrace(pod, acts)),
        observed,
        previous,
        backoffs: this.#backoffs,
        health,
        held,
        endingForMs: this.#endingForMs(pod, previous, held),
        nowMs: this.#deps.clock.monotonicMs(),
      });
    const held = acts.some((act) => act.holds) || this.#nodesHold(pod) !== undefined;
    const plan = make(before);
    if (!pod || isRefused(before) || specProblem(pod)) return { plan, previous: before };
    await this.#noteBackingOff(plan);
    const leftMs = deadlineLeftMs(pod, before, this.#activeMs(before));
    const verdict = leftMs === 0 ? DEADLINE_EXCEEDED : this.#broken(pod, before);
    if (verdict) await this.#deps.events.emit(this.ref, verdict);
    const status = await this.#record(pod, observed, before, verdict);
    // A pod that has just become terminal is wound up, not run further.
    const next = status.phase === before?.phase ? plan : make(status);
    if (leftMs) {
      const dueAtMs = this.#deps.clock.monotonicMs() + leftMs;
      next.wakeAtMs = Math.min(next.wakeAtMs ?? dueAtMs, dueAtMs);
    }
    return { plan: next, previous: status };
  }

  /** A limit the pod itself states, and has broken. */
  #broken(pod: Pod, previous: PodStatus | undefined): PodVerdict | undefined {
    const isOver = previous?.phase === "Succeeded" || previous?.phase === "Failed";
    if (isOver || pod.metadata.deletionTimestamp) return undefined;
    const { emptyDirLimits, verdicts } = this.#deps;
    return emptyDirLimits.verdict(this.ref.uid) ?? verdicts?.verdict(pod);
  }

  /** Why the node keeps the pod stopped, while it does. */
  #nodesHold(pod: Pod | undefined): Hold | undefined {
    return pod && this.#deps.verdicts?.hold(pod);
  }

  /** The pod with the grace that the node leaves it, where that is shorter. */
  #withNodesGrace(pod: Pod): Pod {
    const { verdicts } = this.#deps;
    const grace = verdicts?.verdict(pod)?.graceSeconds ?? verdicts?.hold(pod)?.graceSeconds;
    const own = pod.spec?.terminationGracePeriodSeconds ?? 30;
    if (grace === undefined || grace >= own) return pod;
    return { ...pod, spec: { ...pod.spec, terminationGracePeriodSeconds: grace } };
  }

  /** How long the pod has been active; by the wall clock only across lives of the agent. */
  #activeMs(previous: PodStatus | undefined): number {
    const { clock } = this.#deps;
    const nowMs = clock.monotonicMs();
    if (this.#activeSinceMs === undefined) {
      const startedAtMs = Date.parse(previous?.startTime ?? "");
      const age = Number.isNaN(startedAtMs) ? 0 : clock.nowMs() - startedAtMs;
      this.#activeSinceMs = nowMs - Math.max(0, age);
    }
    return nowMs - this.#activeSinceMs;
  }

  /** How long the pod has been ending; 0 while it is not to end. */
  #endingForMs(pod: Pod | undefined, previous: PodStatus | undefined, held: boolean): number {
    const isEnding = !pod || pod.metadata.deletionTimestamp !== undefined || held ||
      previous?.phase === "Succeeded" || previous?.phase === "Failed";
    const nowMs = this.#deps.clock.monotonicMs();
    this.#endingSinceMs = isEnding ? this.#endingSinceMs ?? nowMs : undefined;
    return isEnding ? nowMs - this.#endingSinceMs! : 0; // set above
  }

  #health(
    pod: Pod | undefined,
    observed: ObservedPod,
    previous: PodStatus | undefined,
  ): PodHealth {
    const { prober, node } = this.#deps;
    const usable = pod && !specProblem(pod) ? pod : undefined;
    const podIp = node.podIp(usable, observed);
    return prober.sync({ ref: this.ref, pod: usable, observed, previous, podIp });
  }

  /** A pod that never was on this node must be admitted first. True when it is not to run. */
  async #refused(
    pod: Pod,
    observed: ObservedPod,
    previous: PodStatus | undefined,
  ): Promise<boolean> {
    const isNew = !previous && observed.sandboxes.length + observed.containers.length === 0;
    if (pod.metadata.deletionTimestamp) return false;
    if (!isNew) return isRefused(previous);
    const rejection = this.#deps.admissions.admit(pod);
    if (!rejection) return false;
    const { records, events, clock, onRecorded } = this.#deps;
    await events.emit(this.ref, { type: "Warning", ...rejection });
    const status = rejectedStatus(pod, rejection, clock.nowMs());
    await records.recordStatus(this.ref, status, mirrorOf(pod));
    onRecorded();
    return true;
  }

  /** A pod that runs and has become one that cannot be used goes on as it was, and is told of. */
  async #unusable(pod: Pod): Promise<boolean> {
    const problem = pod.metadata.deletionTimestamp ? undefined : specProblem(pod);
    if (problem === undefined) return false;
    const message = `Pod cannot be changed, it goes on as it was: ${problem}`;
    await this.#deps.events.emit(this.ref, { type: "Warning", reason: "InvalidPodSpec", message });
    return true;
  }

  #previous(): PodStatus | undefined {
    return this.#deps.records.get(this.ref.uid)?.status;
  }

  async #noteBackingOff(plan: PodPlan): Promise<void> {
    for (const [name, waiting] of this.#waiting) {
      if (waiting.reason === "CrashLoopBackOff" && !plan.backingOff.has(name)) {
        this.#waiting.delete(name);
      }
    }
    for (const [name, waiting] of plan.backingOff) {
      const isNews = this.#waiting.get(name)?.message !== waiting.message;
      this.#waiting.set(name, waiting);
      if (!isNews) continue;
      const { name: podName, namespace, uid } = this.ref;
      await this.#deps.events.emit(this.ref, {
        type: "Warning",
        reason: "BackOff",
        message: `Back-off restarting failed container ${name} in pod ` +
          `${podName}_${namespace}(${uid})`,
        container: { name, role: findContainer(this.#pod, name)?.role ?? "main" },
      });
    }
  }

  /** Writes the status when it differs from what is written. */
  async #record(
    pod: Pod,
    observed: ObservedPod,
    previous: PodStatus | undefined,
    verdict?: PodVerdict,
  ): Promise<PodStatus> {
    const { records, admissions, node, watch, clock, onRecorded } = this.#deps;
    const status = podStatus({
      pod,
      observed,
      previous,
      waiting: heldWaiting(pod, this.#acts(), this.#nodesHold(pod)) ?? this.#waiting,
      health: this.#health(pod, observed, previous),
      ...(verdict ? { verdict } : {}),
      hostIps: node.addresses(),
      runtimeName: watch.state.name ?? "unknown",
      nowMs: clock.nowMs(),
    });
    // Before the cloud hears of it: its scheduler gives the place away at once.
    if (status.phase === "Failed" || status.phase === "Succeeded") {
      admissions.release(this.ref.uid);
    }
    if (this.#retell || JSON.stringify(status) !== JSON.stringify(previous)) {
      this.#retell = false;
      await records.recordStatus(this.ref, status, mirrorOf(pod));
      onRecorded();
    }
    return status;
  }

  async #recordNow(signal: AbortSignal): Promise<void> {
    if (!this.#pod) return;
    const observed = await this.#deps.observer.observe(this.ref, signal);
    await this.#record(this.#pod, markReplaced(observed, this.#acts()), this.#previous());
  }

  /** At rest: changed config maps and secrets reach the volumes of running containers. */
  async #refreshVolumes(work: PodWork): Promise<Outcome | undefined> {
    const sandbox = work.observed.sandboxes.find((s) => s.ready);
    if (!this.#volumesStale || !work.pod || !sandbox) return undefined;
    // Before the work: a change that comes during it makes them stale again.
    this.#volumesStale = false;
    try {
      await this.#deps.volumes.prepare(this.#deps.node.payloadContext(work.pod, sandbox.ips));
      return undefined;
    } catch (error) {
      this.#volumesStale = true;
      await this.#deps.events.emit(this.ref, {
        type: "Warning",
        reason: "FailedMount",
        message: error instanceof VolumeError ? error.message : errorChain(error),
      });
      return { ok: false };
    }
  }

  #retryLater(retryAtMs: number | undefined): void {
    const { clock } = this.#deps;
    const delayMs = Math.min(RETRY_MS_MAX, RETRY_MS_INITIAL * 2 ** Math.min(this.#failures, 16));
    this.#failures++;
    const next = retryAtMs ?? clock.monotonicMs() + delayMs;
    this.wakeAtMs = Math.min(this.wakeAtMs ?? next, next);
  }

  /** Nothing is left in the runtime: the files go, and the cloud is told. */
  async #finish(pod: Pod | undefined): Promise<void> {
    const { volumes, records, images, observer, prober, admissions } = this.#deps;
    const { node, onRecorded } = this.#deps;
    await volumes.remove(this.ref.uid);
    // What is no name was refused and has no logs; as a path it could be anyone's folder.
    if (isSafeName(this.ref.name) && isSafeName(this.ref.namespace)) {
      await removeFolder(podLogDir(this.ref, node.criContext().podLogsDir));
    }
    await this.#deps.cgroups.remove(this.ref.uid);
    if (pod || records.get(this.ref.uid)) await records.recordGone(this.ref);
    images.forget(this.ref.uid);
    observer.forget(this.ref.uid);
    prober.forget(this.ref.uid);
    admissions.release(this.ref.uid);
    this.ended = true;
    onRecorded();
  }
}

/** A status as `rejectedStatus` writes it: nothing of the pod ever ran. */
function isRefused(status: PodStatus | undefined): boolean {
  return status?.phase === "Failed" && status.containerStatuses === undefined;
}

/** How soon a pod is to end, in seconds; Infinity: it stays, -1: it is desired no more. */
function urgency(pod: Pod | undefined): number {
  if (!pod) return -1;
  if (!pod.metadata.deletionTimestamp) return Infinity;
  return pod.metadata.deletionGracePeriodSeconds ?? pod.spec?.terminationGracePeriodSeconds ?? 30;
}

function shape(pod: Pod | undefined): string {
  const all = [...pod?.spec?.initContainers ?? [], ...pod?.spec?.containers ?? []];
  return all.map(containerHash).join();
}

async function removeFolder(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
