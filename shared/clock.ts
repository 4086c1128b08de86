/**
 * Time, injected. The only file (with random.ts) that may touch Date.now, performance.now and
 * setTimeout; the lint plugin holds everyone else to that. Decisions about durations use
 * `monotonicMs`, because the wall clock of an edge node may be absent, wrong, or jump by years.
 */
import { setImmediate } from "node:timers";

export interface Clock {
  /** Wall clock, milliseconds since 1970. For stamps that people read; not for deciding. */
  nowMs(): number;
  /** Milliseconds that only ever grow; arbitrary origin. */
  monotonicMs(): number;
  /**
   * Resolves after `ms`, never earlier by `monotonicMs`; rejects with the signal's reason when it
   * aborts first.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Largest delay one timer can carry (2^31-1 ms, about 24.8 days): longer sleeps are chained. */
const TIMER_MS_MAX = 2_147_483_647;

export class SystemClock implements Clock {
  nowMs(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return performance.now();
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const untilMs = this.monotonicMs() + Math.max(0, ms);
    let leftMs = untilMs - this.monotonicMs();
    do {
      // a timer drops fractions of a millisecond and then fires early: whoever looks at the
      // clock after a sleep must find that the time has come
      await oneTimer(Math.min(Math.ceil(leftMs), TIMER_MS_MAX), signal);
      leftMs = untilMs - this.monotonicMs();
    } while (leftMs > 0);
  }
}

function oneTimer(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/**
 * Lets whatever else is ready run, I/O included: for long work in slices. No time passes that
 * anybody could wait for.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** RFC 3339 in UTC without fraction, as Kubernetes' metav1.Time writes it. */
export function toTime(ms: number): string {
  if (ms !== lastTime.ms) {
    lastTime = { ms, text: `${new Date(ms).toISOString().slice(0, -5)}Z` };
  }
  return lastTime.text;
}

/** Many stamps are made of one reading of the clock. */
let lastTime = { ms: NaN, text: "" };

/** RFC 3339 with microseconds, as Kubernetes' metav1.MicroTime writes it. */
export function toMicroTime(ms: number): string {
  return new Date(ms).toISOString().replace(/Z$/, "000Z");
}
