/**
 * What the runtime says of one pod, in the agent's own words. Durations are decided on the
 * monotonic clock, so an ended container carries `endedAtMs` on that clock besides the runtime's
 * wall stamps; a jump of the wall clock then neither lengthens nor shortens a back-off.
 */
import type { LifecycleHandler } from "../../shared/k8s/types.ts";

export interface ObservedSandbox {
  id: string;
  attempt: number;
  ready: boolean;
  createdAtMs: number;
  hostNetwork: boolean;
  ips: string[];
  /** An act of the site ends it. */
  replaced?: boolean;
}

export type ObservedState = "created" | "running" | "exited" | "unknown";

export interface ObservedContainer {
  id: string;
  sandboxId: string;
  name: string;
  attempt: number;
  restartCount: number;
  hash: string;
  state: ObservedState;
  /** Wall clock, ms; 0 = not set. */
  createdAtMs: number;
  startedAtMs: number;
  finishedAtMs: number;
  /** Monotonic clock; set once exited. */
  endedAtMs: number;
  exitCode: number;
  reason: string;
  message: string;
  image: string;
  imageRef: string;
  /** Absolute path of the log file, "" when unknown. */
  logPath: string;
  /** Grace of the pod when the container was created; for pods no longer desired. */
  graceSeconds: number | undefined;
  /** Its preStop hook when it was created; for pods no longer desired. */
  preStop?: LifecycleHandler;
  /** An act of the site ends it; that it ended says nothing about the pod. */
  replaced?: boolean;
}

export interface ObservedPod {
  uid: string;
  namespace: string;
  name: string;
  sandboxes: ObservedSandbox[];
  containers: ObservedContainer[];
}

/**
 * The sandbox the pod lives in: READY and not to be replaced, with containers rather than without,
 * then the newest.
 */
export function currentSandbox(observed: ObservedPod): ObservedSandbox | undefined {
  const running = new Set(
    observed.containers.filter((c) => c.state === "running").map((c) => c.sandboxId),
  );
  const rank = (s: ObservedSandbox) => (running.has(s.id) ? 1 : 0);
  return observed.sandboxes.filter((s) => s.ready && !s.replaced)
    .sort((a, b) => rank(b) - rank(a) || newerSandbox(a, b))[0];
}

export function newestSandbox(observed: ObservedPod): ObservedSandbox | undefined {
  return [...observed.sandboxes].sort(newerSandbox)[0];
}

function newerSandbox(a: ObservedSandbox, b: ObservedSandbox): number {
  return b.attempt - a.attempt || b.createdAtMs - a.createdAtMs;
}

/** Runs of one container over all sandboxes, newest first. */
export function runsOf(observed: ObservedPod, name: string): ObservedContainer[] {
  return observed.containers.filter((c) => c.name === name)
    .sort((a, b) => b.attempt - a.attempt || b.createdAtMs - a.createdAtMs);
}

/** Gets its grace to end; what is merely unknown to the runtime goes with its sandbox. */
export function isLive(container: ObservedContainer): boolean {
  return container.state === "running";
}
