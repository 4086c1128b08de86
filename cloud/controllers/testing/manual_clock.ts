/** A clock that stands still until it is told to go on. */
import type { Clock } from "../../../shared/clock.ts";

export class ManualClock implements Clock {
  #elapsedMs = 0;
  readonly #sleepers = new Set<{ wakeAtMs: number; wake: () => void }>();
  readonly #startMs = Date.UTC(2026, 0, 1);

  nowMs(): number {
    return this.#startMs + this.#elapsedMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  get sleepers(): number {
    return this.#sleepers.size;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const sleeper = { wakeAtMs: this.#elapsedMs + ms, wake: () => done(resolve) };
      const onAbort = () => done(() => reject(signal?.reason));
      const done = (settle: () => void) => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener("abort", onAbort);
        settle();
      };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  advance(ms: number): void {
    this.#elapsedMs += ms;
    for (const sleeper of [...this.#sleepers]) {
      if (sleeper.wakeAtMs <= this.#elapsedMs) sleeper.wake();
    }
  }
}
