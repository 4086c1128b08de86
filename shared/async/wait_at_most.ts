/** Waits for a wake-up, but no longer than `ms`: the beat of a driver that also looks by itself. */
import type { Clock } from "../clock.ts";
import type { Wakeup } from "./wakeup.ts";

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
