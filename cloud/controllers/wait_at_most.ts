/** Waits for a wake-up, but no longer than `ms`: the beat of a driver that also looks by itself. */
import type { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";

export async function waitAtMost(
  wakeup: Wakeup,
  clock: Clock,
  ms: number,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const round = new AbortController();
  const either = AbortSignal.any([signal, round.signal]);
  try {
    await Promise.race([wakeup.wait(either), clock.sleep(ms, either)]);
  } finally {
    round.abort(); // ends the other of the two
  }
}
