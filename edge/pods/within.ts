/** Work with a bound on the injected clock. */
import type { Clock } from "../../shared/clock.ts";

/** The bound passed. */
export class OverdueError extends Error {
  override readonly name = "OverdueError";
}

/**
 * Runs `work` with a signal that also aborts after `ms`; then it rejects with OverdueError, at
 * once, whether or not the work listens. No timer is left behind.
 */
export async function within<T>(
  clock: Clock,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  signal.throwIfAborted();
  const bound = new AbortController();
  const overdue = new OverdueError(`no answer within ${ms / 1000}s`);
  const both = AbortSignal.any([signal, bound.signal]);
  const timer = clock.sleep(ms, both).then(() => {
    throw overdue;
  });
  // Its rejection after the race is our own abort.
  void timer.catch(() => {});
  try {
    return await Promise.race([work(both), timer]);
  } finally {
    bound.abort(overdue);
  }
}
