/**
 * Waits for a wake-up, but no longer than `ms`: the beat of a driver that also looks by itself. An
 * idle program does little else, so it is made to cost little: one controller, one reason for all.
 */
import type { Clock } from "../clock.ts";
import { AppError } from "../errors.ts";
import type { Wakeup } from "./wakeup.ts";

/** Seen by nobody: what it ends has lost the race already. */
const OVER = new AppError("canceled", "The other one came first");

export async function waitAtMost(
  wakeup: Wakeup,
  clock: Clock,
  ms: number,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const round = new AbortController();
  const onAbort = () => round.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([wakeup.wait(round.signal), clock.sleep(ms, round.signal)]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    round.abort(OVER);
  }
}
