/**
 * Keeps the node alive when it runs short: looks every ten seconds, says under which pressure it
 * is, frees what nobody needs, and then lets one pod give way at a time, waiting until that one has
 * ended. A pod that gave way is Failed for good; what takes its place is the cloud's decision. That
 * the cloud is away evicts nobody (ADR 0007): only a shortage of this machine does.
 */
import type { Clock } from "../../../shared/clock.ts";
import { AppError, errorChain } from "../../../shared/errors.ts";
import type { FsStats, Summary } from "../../../shared/k8s/stats_summary.ts";
import type { Pod } from "../../../shared/k8s/types.ts";
import { roomLogger } from "../../../shared/log.ts";
import type { MachineFacts } from "../../node/port.ts";
import type { PodVerdict } from "../plan_deadline.ts";
import { qosClass } from "../qos.ts";
import { decideEviction, isShort, NO_EVICTION, type Shortage } from "./decide.ts";
import { observe, type Observed } from "./observe.ts";
import { type Candidate, evictionMessage, isCritical, rankPods } from "./rank.ts";
import { type Pressure, pressureOf, resourceOf, type Threshold } from "./thresholds.ts";

export interface EvictionSettings {
  thresholds: readonly Threshold[];
  /** How long a pressure is held after it was last seen. */
  transitionMs: number;
  /** The most a pod gets to end when a soft threshold was met. */
  podGraceSecondsMax: number;
  readMachine: () => Promise<MachineFacts>;
  /** The file system images lie on; undefined while the runtime does not say. */
  readImageFs: () => Promise<FsStats | undefined>;
  /** Everything, what lies on disk included. */
  readUsage: () => Promise<Summary>;
}

export interface EvictorOptions extends EvictionSettings {
  clock: Clock;
  /** Pods that shall run here, with the status this node computed. Costs: asked only in need. */
  pods: () => readonly Pod[];
  /** Frees what no pod needs: unused images. */
  reclaimDisk: (signal: AbortSignal) => Promise<void>;
  /** Told of the threshold in an event of the node. */
  tellNode: (reason: string, message: string) => Promise<void>;
  /** A pod gives way: look at it. */
  onVerdict: (uid: string) => void;
  onPressure: () => void;
}

const LOOK_MS = 10_000;
/** kubelet's podCleanupTimeout: how long the next one waits for the last one's end. */
const END_MS = 30_000;
/** kubelet's grace for those who give way to a hard threshold. */
const HARD_GRACE_SECONDS = 1;
const MEMORY_PRESSURE_TAINT = {
  key: "node.kubernetes.io/memory-pressure",
  effect: "NoSchedule",
} as const;

export class Evictor {
  readonly #options: EvictorOptions;
  readonly #log = roomLogger("edge", "pods", "eviction");
  readonly #verdicts = new Map<string, PodVerdict>();
  #state = NO_EVICTION;
  #pressures: ReadonlySet<Pressure> = new Set();
  #last: { uid: string; atMs: number } | undefined;

  constructor(options: EvictorOptions) {
    this.#options = options;
  }

  get pressures(): ReadonlySet<Pressure> {
    return this.#pressures;
  }

  verdict(uid: string): PodVerdict | undefined {
    return this.#verdicts.get(uid);
  }

  /** Why a pod is not taken now; in kubelet's words. */
  refusal(pod: Pod): { reason: string; message: string } | undefined {
    if (this.#pressures.size === 0 || isCritical(pod)) return undefined;
    const isOnlyMemory = this.#pressures.size === 1 && this.#pressures.has("MemoryPressure");
    if (isOnlyMemory && (qosClass(pod) !== "BestEffort" || toleratesMemoryPressure(pod))) {
      return undefined;
    }
    const names = [...this.#pressures].join(" ");
    return {
      reason: "Evicted",
      message: `Pod was rejected: The node had condition: [${names}]. `,
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.check(signal);
      await this.#options.clock.sleep(LOOK_MS, signal);
    }
  }

  /** One look, and at most one pod. */
  async check(signal: AbortSignal): Promise<void> {
    try {
      await this.#check(signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof AppError)) throw error;
      // The next look tries again; what was said of pressures stands.
      this.#log.warn("Cannot look for pressure", { error: errorChain(error) });
    }
  }

  async #check(signal: AbortSignal): Promise<void> {
    const { clock, thresholds, transitionMs } = this.#options;
    if (this.#verdicts.size > 0) this.#forgetGone();
    const { observations, hasImageFs } = await this.#observe();
    const decision = decideEviction({
      thresholds,
      observations,
      state: this.#state,
      transitionMs,
      nowMs: clock.monotonicMs(),
    });
    this.#state = decision.state;
    this.#setPressures(decision.pressures);
    if (!decision.act || this.#isWaiting()) return;
    await this.#relieve(decision.act, hasImageFs, signal);
  }

  #forgetGone(): void {
    const uids = new Set(this.#options.pods().map(({ metadata }) => metadata.uid ?? ""));
    for (const uid of this.#verdicts.keys()) if (!uids.has(uid)) this.#verdicts.delete(uid);
  }

  async #observe(): Promise<Observed> {
    const { readMachine, readImageFs } = this.#options;
    const [machine, imageFs] = await Promise.all([readMachine(), readImageFs()]);
    return observe(machine, imageFs);
  }

  #setPressures(pressures: ReadonlySet<Pressure>): void {
    const before = [...this.#pressures].sort().join();
    this.#pressures = pressures;
    if ([...pressures].sort().join() === before) return;
    this.#log.warn("Pressure on this node has changed", { pressures: [...pressures].join() });
    this.#options.onPressure();
  }

  /** True while the last one that gave way has not ended, for so long at least. */
  #isWaiting(): boolean {
    const last = this.#last;
    if (!last || this.#options.clock.monotonicMs() - last.atMs >= END_MS) return false;
    const pod = this.#options.pods().find(({ metadata }) => metadata.uid === last.uid);
    return pod?.status?.containerStatuses?.some(({ state }) => state?.running) ?? false;
  }

  async #relieve(shortage: Shortage, hasImageFs: boolean, signal: AbortSignal): Promise<void> {
    const { threshold } = shortage;
    const resource = resourceOf(threshold.signal);
    this.#log.warn("This node is short", { resource, threshold: threshold.amount.text });
    await this.#options.tellNode("EvictionThresholdMet", `Attempting to reclaim ${resource}`);
    if (pressureOf(threshold.signal) === "DiskPressure") {
      await this.#options.reclaimDisk(signal);
      const { observations } = await this.#observe();
      if (!isShort(threshold, observations, true)) return;
    }
    const usage = await this.#options.readUsage();
    const [first] = rankPods(this.#candidates(usage), threshold.signal, hasImageFs);
    if (!first) {
      this.#log.warn("No pod may give way", { resource });
      return;
    }
    this.#evict(first, shortage);
  }

  #candidates(usage: Summary): Candidate[] {
    return this.#options.pods()
      .filter(({ metadata, status }) =>
        !metadata.deletionTimestamp && !this.#verdicts.has(metadata.uid ?? "") &&
        (status?.containerStatuses?.some(({ state }) => state?.running) ?? false)
      )
      .map((pod) => ({
        pod,
        stats: usage.pods.find(({ podRef }) => podRef.uid === pod.metadata.uid),
      }));
  }

  #evict(candidate: Candidate, shortage: Shortage): void {
    const { podGraceSecondsMax, clock, onVerdict } = this.#options;
    const { name, namespace, uid = "" } = candidate.pod.metadata;
    const message = evictionMessage(candidate, shortage);
    this.#log.warn("Pod gives way", { name, namespace, why: message });
    this.#verdicts.set(uid, {
      type: "Warning",
      reason: "Evicted",
      message,
      graceSeconds: shortage.threshold.isHard ? HARD_GRACE_SECONDS : podGraceSecondsMax,
      isDisruption: true,
    });
    this.#last = { uid, atMs: clock.monotonicMs() };
    onVerdict(uid);
  }
}

function toleratesMemoryPressure({ spec }: Pod): boolean {
  const { key: taint, effect: taintEffect } = MEMORY_PRESSURE_TAINT;
  return (spec.tolerations ?? []).some(({ key, operator, effect, value }) =>
    (!effect || effect === taintEffect) && (!key || key === taint) &&
    (operator === "Exists" || (key === taint && !value))
  );
}
