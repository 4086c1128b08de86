/** Work that ends by a deadline, whether it listens to its signal or not. */
import type { Clock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";

export interface Deadline {
  clock: Clock;
  ms: number;
  /** What is done, for the error: "answer". */
  what: string;
}

/** Throws AppError "unavailable" when `work` takes longer, and the signal's reason on abort. */
export async function within<T>(
  { clock, ms, what }: Deadline,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const round = new AbortController();
  const onAbort = () => round.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const timer = new AbortController();
  const late = clock.sleep(ms, timer.signal).then(() => {
    round.abort(new AppError("unavailable", `No ${what} within ${ms} ms`));
  }, () => {}); // it was in time
  try {
    return await Promise.race([work(round.signal), rejectOnAbort(round.signal)]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    timer.abort();
    await late;
  }
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
