/** Work with a bound on the injected clock. */
import type { Clock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";

/**
 * Runs `work` with a signal that also aborts after `ms`; then it rejects with `unavailable`, at
 * once, whether or not the work listens. No timer is left behind.
 */
export async function withDeadline<T>(
  clock: Clock,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  signal.throwIfAborted();
  const bound = new AbortController();
  const overdue = new AppError("unavailable", `no answer within ${ms / 1_000} s`);
  const both = AbortSignal.any([signal, bound.signal]);
  const timer = clock.sleep(ms, both).then(() => {
    throw overdue;
  });
  void timer.catch(() => {}); // after the race it is our own abort
  try {
    return await Promise.race([work(both), timer]);
  } finally {
    bound.abort(overdue);
  }
}
