/**
 * kubelet's probe worker as pure steps: defaults, first state, and what an outcome does to it.
 * Thresholds count equal outcomes in a row; liveness and startup that fail at their threshold go on
 * hold, because that run of the container is to be killed.
 *
 *     liveness:  success ──failureThreshold failures──> failure (on hold)
 *     startup:   unknown ──success──> success (done)      unknown ──failures──> failure (on hold)
 *     readiness: failure <──failures── ──successes──> success
 */
import type { Container, Probe } from "../../../shared/k8s/types.ts";
import type { ProbeKind } from "./health.ts";

export interface ProbeTiming {
  initialDelayMs: number;
  periodMs: number;
  timeoutSeconds: number;
  successThreshold: number;
  failureThreshold: number;
}

export type Outcome = "success" | "failure";

export interface ProbeState {
  /** What holds now, by the thresholds. */
  result: Outcome | "unknown";
  /** The last outcome and how often it came in a row. */
  streak: { outcome: Outcome; count: number } | undefined;
  /** Decided against this run: nothing more is asked of it. */
  onHold: boolean;
}

/** What was recorded of this very run in an earlier life of the agent. */
export interface Recorded {
  ready: boolean;
  started: boolean;
}

export const PROBE_KINDS: readonly ProbeKind[] = ["startup", "readiness", "liveness"];

export function probeOf(container: Container, kind: ProbeKind): Probe | undefined {
  switch (kind) {
    case "startup":
      return container.startupProbe;
    case "readiness":
      return container.readinessProbe;
    case "liveness":
      return container.livenessProbe;
  }
}

export function timingOf(probe: Probe, kind: ProbeKind): ProbeTiming {
  return {
    initialDelayMs: atLeast(0, probe.initialDelaySeconds, 0) * 1000,
    periodMs: atLeast(1, probe.periodSeconds, 10) * 1000,
    timeoutSeconds: atLeast(1, probe.timeoutSeconds, 1),
    // Only readiness may ask for more than one success.
    successThreshold: kind === "readiness" ? atLeast(1, probe.successThreshold, 1) : 1,
    failureThreshold: atLeast(1, probe.failureThreshold, 3),
  };
}

function atLeast(least: number, given: unknown, fallback: number): number {
  return typeof given === "number" && Number.isFinite(given) && given !== 0
    ? Math.max(least, given)
    : fallback;
}

/**
 * A ready container must not flap because the agent came back, and one that had started need not
 * prove it again; liveness counts anew.
 */
export function firstState(kind: ProbeKind, recorded: Recorded | undefined): ProbeState {
  const result = {
    startup: recorded?.started ? "success" : "unknown",
    readiness: recorded?.ready ? "success" : "failure",
    liveness: "success",
  } as const;
  return { result: result[kind], streak: undefined, onHold: false };
}

export function afterOutcome(
  kind: ProbeKind,
  timing: ProbeTiming,
  state: ProbeState,
  outcome: Outcome,
): ProbeState {
  const count = state.streak?.outcome === outcome ? state.streak.count + 1 : 1;
  const threshold = outcome === "success" ? timing.successThreshold : timing.failureThreshold;
  const streak = { outcome, count };
  if (count < threshold) return { ...state, streak };
  if (outcome === "failure" && kind !== "readiness") {
    return { result: "failure", streak: undefined, onHold: true };
  }
  return { result: outcome, streak, onHold: false };
}
