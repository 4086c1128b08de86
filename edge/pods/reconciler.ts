/**
 * Drives the workers: reads the whole desired state from the ledger, scans the runtime, and lets
 * every pod that differs, or whose time has come, make a pass. Wake-ups carry no data. A pod's
 * trouble stays its own; a lost runtime holds all passes until it answers again.
 *
 *     unknown -> up -> lost -> (probe, up to 5 s apart) -> up
 */
import { TaskScope } from "../../shared/async/task_scope.ts";
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import { errorChain, InvariantError, isAppError } from "../../shared/errors.ts";
import type { Pod } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { PodRef } from "../../shared/wire/report.ts";
import type { ContainerRuntime } from "../cri/port.ts";
import type { Ledger } from "../meta/port.ts";
import type { Listing } from "./observer.ts";
import { Pleg } from "./pleg.ts";
import { PodWorker, type WorkerDeps } from "./pod_worker.ts";
import { sourceKeys } from "./sources.ts";
import { isStaticUid } from "./static_pods/static_file.ts";
import { podId } from "./to_cri.ts";
import { isSafeName, isSafeUid } from "./volumes/paths.ts";

export interface ReconcilerOptions extends WorkerDeps {
  runtime: ContainerRuntime;
  ledger: Ledger;
  /** How often all is listed when the runtime tells no events. */
  scanMs: number;
  /** Told when the runtime's state has changed. */
  onRuntimeChange: () => void;
  /** True once it is known which static pods shall run. */
  staticsSettled: () => boolean;
}

/** With events to rely on, listing catches what they missed; when they break off, it is at once. */
const SCAN_MS_WITH_EVENTS = 60_000;
/** Between two full scans only ended containers are listed: on a quiet node that is nothing. */
const SCANS_PER_FULL_SCAN = 5;
const STATUS_MS = 10_000;
const TOGETHER_MS = 2_000;
const STATUS_MS_UNREADY = 2_000;
const PROBE_MS_INITIAL = 250;
const PROBE_MS_MAX = 5_000;

interface Slot {
  worker: PodWorker;
  busy: boolean;
  dirty: boolean;
  version: string;
  sources: string;
  /** Acts of the site that change what shall run. */
  acts: string;
  /** As a scan has just listed it, with no pass under way since before. */
  listed?: Listing | undefined;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #log = roomLogger("edge", "pods");
  readonly #wakeup = new Wakeup();
  readonly #pleg: Pleg;
  readonly #slots = new Map<string, Slot>();
  /** Ours by their mark, found before any cloud had said what is desired. */
  readonly #unjudged = new Map<string, PodRef>();
  #ledgerDirty = true;
  #up = false;
  #everUp = false;
  #probeMs = PROBE_MS_INITIAL;
  #nextProbeMs = 0;
  #nextScanMs = 0;
  #nextStatusMs = 0;
  #scans = 0;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    const { runtime, clock, watch } = options;
    this.#pleg = new Pleg({
      runtime,
      clock,
      runtimeName: () => watch.state,
      onEnd: (uid) => uid === undefined ? this.#scanNow() : this.touch(uid),
      onBreak: () => this.#scanNow(),
    });
  }

  /** True once the runtime was reached and all of it was looked at. */
  get hasStarted(): boolean {
    return this.#everUp;
  }

  /** Something about this pod has changed that no scan shows: it makes a pass. */
  touch(uid: string): void {
    const slot = this.#slots.get(uid);
    if (!slot) return;
    slot.dirty = true;
    this.#wakeup.wake();
  }

  /** Milliseconds until a pod's next pass by itself; undefined when it waits for nothing. */
  retryInMs(uid: string): number | undefined {
    const wakeAtMs = this.#slots.get(uid)?.worker.wakeAtMs;
    return wakeAtMs === undefined ? undefined : wakeAtMs - this.#options.clock.monotonicMs();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { ledger, siteActs } = this.#options;
    const unsubscribes = [ledger.changes, siteActs.changes].map((changes) =>
      changes.subscribe(() => this.#ledgerChanged())
    );
    const scope = new TaskScope(signal);
    try {
      scope.spawn("pod loop", (s) => this.#loop(scope, s));
      scope.spawn("runtime events", (s) => this.#pleg.follow(s));
      await scope.join();
    } finally {
      for (const unsubscribe of unsubscribes) unsubscribe();
    }
  }

  #scanNow(): void {
    this.#nextScanMs = 0;
    this.#wakeup.wake();
  }

  #ledgerChanged(): void {
    this.#ledgerDirty = true;
    this.#wakeup.wake();
  }

  async #loop(scope: TaskScope, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#ledgerDirty) this.#readLedger();
      await this.#lookAtRuntime(signal);
      if (this.#up) this.#startDue(scope);
      await this.#rest(signal);
    }
  }

  /** Whole desired state against the workers there are. */
  #readLedger(): void {
    this.#ledgerDirty = false;
    const desired = new Map<string, Pod>();
    for (const pod of this.#options.ledger.list<Pod>("pods")) {
      if (isSafeUid(pod.metadata.uid)) desired.set(pod.metadata.uid, pod);
      else this.#log.warn("Pod without a usable uid is left out", { name: pod.metadata.name });
    }
    const byAge = [...desired.values()].sort((a, b) =>
      String(a.metadata.creationTimestamp).localeCompare(String(b.metadata.creationTimestamp))
    );
    for (const pod of byAge) this.#takeDesired(pod);
    for (const [uid, slot] of this.#slots) {
      if (desired.has(uid)) continue;
      if (slot.worker.ended) this.#drop(uid, slot);
      else if (slot.worker.pod) this.#setDesired(slot, undefined);
    }
    this.#takeForgotten(desired);
  }

  #takeDesired(pod: Pod): void {
    const { ledger } = this.#options;
    const ref = podId(pod);
    const version = pod.metadata.resourceVersion ?? JSON.stringify(pod);
    const sources = sourceKeys(pod).map((key) =>
      `${key}=${ledger.get(key)?.metadata.resourceVersion ?? ""}`
    ).join();
    const slot = this.#slots.get(ref.uid);
    if (!slot) {
      if (isStaticUid(ref.uid) && this.#isNameTaken(ref)) return;
      this.#add(ref, pod, { version, sources });
      return;
    }
    if (slot.version !== version || !slot.worker.pod) {
      slot.version = version;
      this.#setDesired(slot, pod);
    }
    const acts = this.#actsPrint(ref.uid);
    if (slot.acts !== acts) {
      slot.acts = acts;
      slot.worker.actsChanged();
      slot.dirty = true;
    }
    if (slot.sources !== sources) {
      slot.sources = sources;
      slot.worker.sourcesChanged();
      slot.dirty = true;
    }
  }

  /** A static pod of another content has another uid, and waits for the end of the one before. */
  #isNameTaken({ uid, namespace, name }: PodRef): boolean {
    return [...this.#slots.values()].some(({ worker: { ref, ended } }) =>
      ref.uid !== uid && ref.namespace === namespace && ref.name === name && !ended
    );
  }

  /** Statuses of static pods are reported again: a cloud that lost them learns of the pods. */
  retellStatics(): void {
    for (const [uid, slot] of this.#slots) {
      if (!isStaticUid(uid) || !slot.worker.pod) continue;
      slot.worker.retell();
      slot.dirty = true;
    }
    this.#wakeup.wake();
  }

  /** Not what has become of them: that is the worker's own doing. */
  #actsPrint(uid: string): string {
    return this.#options.siteActs.of(uid).map(({ id, holds }) => `${id}=${holds}`).join();
  }

  #setDesired(slot: Slot, pod: Pod | undefined): void {
    slot.worker.setDesired(pod);
    slot.dirty = true;
  }

  /** Recorded in an earlier life and desired no more: what is left of it is cleaned up. */
  #takeForgotten(desired: ReadonlyMap<string, Pod>): void {
    const unjudged = [...this.#unjudged.values()];
    this.#unjudged.clear();
    for (const ref of unjudged) if (!desired.has(ref.uid)) this.#takeOrphan(ref);
    for (const { pod } of this.#options.records.list()) {
      if (!desired.has(pod.uid)) this.#takeOrphan(pod);
    }
  }

  /** A node that never had a session has nothing to say about what may run here. */
  #mayClean({ uid }: PodRef): boolean {
    const { ledger, staticsSettled } = this.#options;
    return isStaticUid(uid) ? staticsSettled() : ledger.head.cloudId !== "";
  }

  #takeOrphan(ref: PodRef): void {
    if (this.#slots.has(ref.uid)) return;
    if (!this.#mayClean(ref)) {
      this.#unjudged.set(ref.uid, ref);
      return;
    }
    // These become paths that are removed: what is no name is not touched.
    if (!isSafeUid(ref.uid) || !isSafeName(ref.name) || !isSafeName(ref.namespace)) return;
    this.#add(ref, undefined, { version: "", sources: "" });
  }

  #add(ref: PodRef, pod: Pod | undefined, prints: { version: string; sources: string }): void {
    const { records, admissions } = this.#options;
    const phase = records.get(ref.uid)?.status.phase;
    if (pod && phase && phase !== "Failed" && phase !== "Succeeded") admissions.readmit(pod);
    const worker = new PodWorker(ref, pod, this.#options);
    const acts = this.#actsPrint(ref.uid);
    this.#slots.set(ref.uid, { worker, busy: false, dirty: true, acts, ...prints });
  }

  #drop(uid: string, slot: Slot): void {
    if (!slot.busy) this.#slots.delete(uid);
  }

  async #lookAtRuntime(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    try {
      if (!this.#up) {
        if (nowMs < this.#nextProbeMs) return;
        await this.#refreshState(signal);
        await this.#scan(true, signal);
        this.#cameUp();
        return;
      }
      if (nowMs < Math.min(this.#nextStatusMs, this.#nextScanMs)) return;
      // awake anyway: what is due soon is done now, and the two fall into step
      const soonMs = nowMs + TOGETHER_MS;
      if (this.#nextStatusMs <= soonMs) await this.#refreshState(signal);
      if (this.#nextScanMs <= soonMs) {
        const isRare = this.#pleg.isReliable;
        await this.#scan(isRare || this.#scans++ % SCANS_PER_FULL_SCAN === 0, signal);
      }
    } catch (error) {
      if (error instanceof InvariantError) throw error;
      // whatever a call said while everything was ending: the end is not a failure
      signal.throwIfAborted();
      this.#runtimeLost(error);
    }
  }

  async #refreshState(signal: AbortSignal): Promise<void> {
    const { watch, clock, onRuntimeChange } = this.#options;
    const changed = await watch.refresh(signal);
    const well = watch.state.ready && watch.state.network.ready;
    this.#nextStatusMs = clock.monotonicMs() + (well ? STATUS_MS : STATUS_MS_UNREADY);
    if (!changed) return;
    onRuntimeChange();
    for (const slot of this.#slots.values()) slot.dirty = true;
  }

  async #scan(full: boolean, signal: AbortSignal): Promise<void> {
    const { observer, clock, scanMs } = this.#options;
    // None of these begins a pass before the scan is over: the loop that starts passes is here.
    const idle = [...this.#slots].filter(([, { busy }]) => !busy);
    const { changed, listed } = await observer.scan(full ? "all" : "ended", signal);
    for (const [uid, slot] of idle) slot.listed = listed?.get(uid);
    for (const ref of changed) {
      const slot = this.#slots.get(ref.uid);
      if (!slot) {
        this.#takeOrphan(ref);
        continue;
      }
      slot.dirty = true;
      // The runtime was late with something that had been given up: it is cleaned up after all.
      slot.worker.ended = false;
    }
    const everyMs = this.#pleg.isReliable ? SCAN_MS_WITH_EVENTS : scanMs;
    this.#nextScanMs = clock.monotonicMs() + everyMs;
  }

  #cameUp(): void {
    if (this.#everUp) this.#log.info("Container runtime is back");
    this.#up = true;
    this.#everUp = true;
    this.#probeMs = PROBE_MS_INITIAL;
    this.#pleg.retryNow();
    for (const slot of this.#slots.values()) slot.dirty = true;
  }

  /** Pods keep the status they have; one line and one state say what is wrong. */
  #runtimeLost(error: unknown): void {
    const { watch, clock, onRuntimeChange } = this.#options;
    this.#up = false;
    this.#nextProbeMs = clock.monotonicMs() + this.#probeMs;
    this.#probeMs = Math.min(PROBE_MS_MAX, this.#probeMs * 2);
    if (!watch.lost(error)) return;
    this.#log.warn("Container runtime is away", { error: errorChain(error) });
    onRuntimeChange();
  }

  #startDue(scope: TaskScope): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const [uid, slot] of this.#slots) {
      const { worker, listed } = slot;
      slot.listed = undefined; // holds for this moment only
      if (worker.ended && !worker.pod && !slot.busy) {
        this.#slots.delete(uid);
        if (isStaticUid(uid)) this.#ledgerChanged();
        continue;
      }
      if (worker.wakeAtMs !== undefined && worker.wakeAtMs <= nowMs) slot.dirty = true;
      if (slot.busy || !slot.dirty) continue;
      slot.dirty = false;
      if (worker.ended) continue;
      slot.busy = true;
      scope.spawn(`pod ${uid}`, (s) => this.#passOnce(slot, s, listed));
    }
  }

  async #passOnce(slot: Slot, signal: AbortSignal, listed: Listing | undefined): Promise<void> {
    try {
      await slot.worker.pass(signal, listed);
    } catch (error) {
      if (error instanceof InvariantError) throw error;
      // whatever a call said while everything was ending: the end is not a failure
      signal.throwIfAborted();
      if (isAppError(error, "unavailable")) {
        // Look at once: the scan tells a runtime that is away from one call that failed.
        this.#nextScanMs = 0;
      } else {
        this.#log.error("Pod pass failed", { ...slot.worker.ref, error: errorChain(error) });
      }
    } finally {
      slot.busy = false;
      this.#wakeup.wake();
    }
  }

  /** Until something happens or the next moment that anything is due. */
  async #rest(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    let dueMs = this.#up ? Math.min(this.#nextScanMs, this.#nextStatusMs) : this.#nextProbeMs;
    if (this.#up) {
      for (const { worker, busy } of this.#slots.values()) {
        if (!busy && !worker.ended) dueMs = Math.min(dueMs, worker.wakeAtMs ?? Infinity);
      }
    }
    await waitAtMost(this.#wakeup, clock, Math.max(0, dueMs - nowMs), signal);
  }
}
