/**
 * All probes of the node under one scheduler: one timer for the probe that is due next, whatever
 * their number. `sync` takes what is desired and observed of a pod and answers with the health of
 * its running containers; a probe that changes a health calls `onChange`, and the pod is looked at
 * anew. State is kept per run of a container: another run begins anew.
 */
import { TaskScope } from "../../../shared/async/task_scope.ts";
import { waitAtMost } from "../../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../../shared/async/wakeup.ts";
import type { Clock } from "../../../shared/clock.ts";
import type { Container, ContainerStatus, Pod, PodStatus } from "../../../shared/k8s/types.ts";
import type { PodRef } from "../../../shared/wire/report.ts";
import { Gate } from "../gate.ts";
import { type ObservedContainer, type ObservedPod, runsOf } from "../observed.ts";
import type { ContainerRole } from "../pod_containers.ts";
import type { PodEvents } from "../pod_events.ts";
import type { Checked, Checker } from "./checker.ts";
import type { ContainerHealth, PodHealth, ProbeKind } from "./health.ts";
import {
  afterOutcome,
  firstState,
  PROBE_KINDS,
  probeOf,
  type ProbeState,
  type ProbeTiming,
  type Recorded,
  timingOf,
} from "./probe_state.ts";
import { WarningBudget } from "./warning_budget.ts";

export interface ProberOptions {
  checker: Checker;
  events: PodEvents;
  clock: Clock;
  /** A health has changed: look at this pod. */
  onChange: (uid: string) => void;
}

export interface SyncInput {
  ref: PodRef;
  pod: Pod | undefined;
  observed: ObservedPod;
  previous: PodStatus | undefined;
  podIp: string;
}

interface ProbeEntry {
  kind: ProbeKind;
  timing: ProbeTiming;
  state: ProbeState;
  /** Monotonic. */
  dueAtMs: number;
  busy: boolean;
  warnings: WarningBudget;
}

/** The probes of one run of a container. */
interface Probed {
  ref: PodRef;
  runId: string;
  container: Container;
  role: ContainerRole;
  podIp: string;
  /** Being deleted: only readiness is still of interest. */
  ending: boolean;
  entries: ProbeEntry[];
}

/** Checks at once; each ends within its own time-out. */
const CHECKS_MAX = 32;
/** Without any probe: only a wake-up ends the rest. */
const IDLE_MS = 3_600_000;

export class Prober {
  readonly #options: ProberOptions;
  readonly #wakeup = new Wakeup();
  readonly #gate = new Gate(CHECKS_MAX);
  /** By pod uid, then by container id. */
  readonly #pods = new Map<string, Map<string, Probed>>();

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /** Takes over which containers run; answers with the health of those that have probes. */
  sync(input: SyncInput): PodHealth {
    const { ref, pod } = input;
    const before = this.#pods.get(ref.uid);
    const now = new Map<string, Probed>();
    for (const { container, role, run } of pod ? probedRuns(pod, input.observed) : []) {
      const probed = before?.get(run.id) ?? this.#begin(input, container, run);
      probed.container = container;
      probed.role = role;
      probed.podIp = input.podIp;
      probed.ending = pod?.metadata.deletionTimestamp !== undefined;
      now.set(run.id, probed);
      if (!before?.has(run.id)) this.#wakeup.wake();
    }
    if (now.size > 0) this.#pods.set(ref.uid, now);
    else if (before) this.#pods.delete(ref.uid);
    return new Map(Array.from(now, ([id, probed]) => [id, health(probed)]));
  }

  forget(uid: string): void {
    this.#pods.delete(uid);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const scope = new TaskScope(signal);
    try {
      while (!scope.signal.aborted) {
        const dueAtMs = this.#startDue(scope);
        const restMs = Math.max(0, Math.min(IDLE_MS, dueAtMs - clock.monotonicMs()));
        await waitAtMost(this.#wakeup, clock, restMs, scope.signal);
      }
    } finally {
      scope.abort();
      await scope.join();
    }
  }

  #begin(input: SyncInput, container: Container, run: ObservedContainer): Probed {
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const ranMs = Math.max(0, clock.nowMs() - run.startedAtMs);
    const recorded = recordedOf(input.previous, container.name, run.id);
    const entries = PROBE_KINDS.flatMap((kind): ProbeEntry[] => {
      const probe = probeOf(container, kind);
      if (!probe) return [];
      const timing = timingOf(probe, kind);
      const firstAtMs = nowMs + Math.max(0, timing.initialDelayMs - ranMs);
      // Adopted runs take turns: an agent that comes back must not ask all of them at once.
      const isAdopted = recorded !== undefined && ranMs > timing.periodMs;
      const shareMs = isAdopted ? Math.floor(spread(run.id + kind) * timing.periodMs) : 0;
      return [{
        kind,
        timing,
        state: firstState(kind, recorded),
        dueAtMs: firstAtMs + shareMs,
        busy: false,
        warnings: new WarningBudget(),
      }];
    });
    return {
      ref: input.ref,
      runId: run.id,
      container,
      role: "main",
      podIp: input.podIp,
      ending: false,
      entries,
    };
  }

  /** Starts what is due; answers with the moment the next one is. */
  #startDue(scope: TaskScope): number {
    const nowMs = this.#options.clock.monotonicMs();
    let nextMs = Infinity;
    for (const pod of this.#pods.values()) {
      for (const probed of pod.values()) {
        for (const entry of probed.entries) {
          if (entry.busy || isPaused(probed, entry)) continue;
          if (entry.dueAtMs <= nowMs) {
            entry.busy = true;
            // A ticker's beat: late probes are not made up for.
            const { periodMs } = entry.timing;
            const missed = Math.floor((nowMs - entry.dueAtMs) / periodMs);
            entry.dueAtMs += (missed + 1) * periodMs;
            scope.spawn(`${entry.kind} probe`, (s) => this.#probe(probed, entry, s));
          } else nextMs = Math.min(nextMs, entry.dueAtMs);
        }
      }
    }
    return nextMs;
  }

  async #probe(probed: Probed, entry: ProbeEntry, signal: AbortSignal): Promise<void> {
    const probe = probeOf(probed.container, entry.kind);
    try {
      if (!probe) return;
      const checked = await this.#gate.run(() =>
        this.#options.checker.check({
          probe,
          container: probed.container,
          containerId: probed.runId,
          podIp: probed.podIp,
          timeoutSeconds: entry.timing.timeoutSeconds,
        }, signal), signal);
      // The container ended, or another took its place: nobody wants to know.
      if (this.#pods.get(probed.ref.uid)?.get(probed.runId) !== probed) return;
      await this.#tell(probed, entry, checked);
      this.#apply(probed, entry, checked);
    } finally {
      entry.busy = false;
      this.#wakeup.wake();
    }
  }

  #apply(probed: Probed, entry: ProbeEntry, checked: Checked): void {
    if (checked.kind === "errored" || isPaused(probed, entry)) return;
    const before = JSON.stringify(health(probed));
    const wasStarted = health(probed).started;
    entry.state = afterOutcome(entry.kind, entry.timing, entry.state, checked.kind);
    const after = health(probed);
    if (after.started && !wasStarted) {
      const nowMs = this.#options.clock.monotonicMs();
      for (const other of probed.entries) {
        // Those that waited for the start are made at once, unless their delay is not over.
        if (other.kind !== "startup") other.dueAtMs = Math.max(nowMs, other.dueAtMs);
      }
    }
    if (JSON.stringify(after) !== before) this.#options.onChange(probed.ref.uid);
  }

  async #tell(probed: Probed, entry: ProbeEntry, checked: Checked): Promise<void> {
    const type = `${entry.kind.charAt(0).toUpperCase()}${entry.kind.slice(1)}`;
    const said = wordsOf(type, checked);
    if (!said || !entry.warnings.take(said.message, this.#options.clock.monotonicMs())) return;
    await this.#options.events.emit(probed.ref, {
      type: "Warning",
      ...said,
      container: { name: probed.container.name, role: probed.role },
    });
  }
}

function wordsOf(
  type: string,
  checked: Checked,
): { reason: string; message: string } | undefined {
  switch (checked.kind) {
    case "success":
      if (checked.warning === "") return undefined;
      return { reason: "ProbeWarning", message: `${type} probe warning: ${checked.warning}` };
    case "failure":
      return { reason: "Unhealthy", message: `${type} probe failed: ${checked.message}` };
    case "errored": {
      if (checked.silent) return undefined;
      const message = `${type} probe errored and resulted in unknown state: ${checked.message}`;
      return { reason: "Unhealthy", message };
    }
  }
}

/** Running containers that have a probe: ordinary ones and sidecars. */
function* probedRuns(
  pod: Pod,
  observed: ObservedPod,
): Generator<{ container: Container; role: ContainerRole; run: ObservedContainer }> {
  const all = [
    ...(pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === "Always")
      .map((container) => ({ container, role: "init" as const })),
    ...(pod.spec?.containers ?? []).map((container) => ({ container, role: "main" as const })),
  ];
  for (const { container, role } of all) {
    if (!PROBE_KINDS.some((kind) => probeOf(container, kind))) continue;
    const run = runsOf(observed, container.name)[0];
    if (run?.state === "running") yield { container, role, run };
  }
}

function isPaused(probed: Probed, entry: ProbeEntry): boolean {
  if (entry.state.onHold) return true;
  if (entry.kind === "readiness") return !isStarted(probed);
  if (probed.ending) return true;
  return entry.kind === "startup" ? isStarted(probed) : !isStarted(probed);
}

function isStarted(probed: Probed): boolean {
  const startup = probed.entries.find((e) => e.kind === "startup");
  return !startup || startup.state.result === "success";
}

function health(probed: Probed): ContainerHealth {
  const started = isStarted(probed);
  const readiness = probed.entries.find((e) => e.kind === "readiness");
  const ready = started && (!readiness || readiness.state.result === "success");
  const failed = probed.ending ? undefined : probed.entries.find((e) => e.state.onHold)?.kind;
  return failed && failed !== "readiness" ? { started, ready, failed } : { started, ready };
}

function recordedOf(
  previous: PodStatus | undefined,
  name: string,
  runId: string,
): Recorded | undefined {
  const all: ContainerStatus[] = [
    ...(previous?.containerStatuses ?? []),
    ...(previous?.initContainerStatuses ?? []),
  ];
  const found = all.find((s) => s.name === name && s.state?.running);
  if (!found?.containerID?.endsWith(`://${runId}`)) return undefined;
  return { ready: found.ready, started: found.started ?? false };
}

/** A share of [0, 1) that is the same for the same name. */
function spread(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) {
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193) >>> 0;
  }
  return hash / 2 ** 32;
}
