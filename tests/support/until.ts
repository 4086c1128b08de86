/**
 * Waiting on state, for tests, bench and demo: polls until it holds, with a deadline and a reason.
 */
import { type Clock, SystemClock } from "../../shared/clock.ts";
import { AppError, errorChain } from "../../shared/errors.ts";

export interface UntilOptions {
  /** What is waited for, as the message of a timeout names it. */
  what: string;
  timeoutMs?: number;
  everyMs?: number;
  clock?: Clock;
}

/**
 * The first value of `probe` that is neither undefined nor false; a throwing probe counts as no.
 */
export async function until<T>(
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  options: UntilOptions,
): Promise<T> {
  const { what, timeoutMs = 10_000, everyMs = 20, clock = new SystemClock() } = options;
  const deadlineMs = clock.monotonicMs() + timeoutMs;
  let last: unknown;
  while (true) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    if (clock.monotonicMs() >= deadlineMs) {
      const cause = last === undefined ? "" : ` (last: ${errorChain(last)})`;
      throw new AppError("unavailable", `${what}: not within ${timeoutMs} ms${cause}`);
    }
    await clock.sleep(everyMs);
  }
}
