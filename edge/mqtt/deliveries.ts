/**
 * Publications handed to the embedded broker that it has not taken yet. The library calls back
 * when it has written one to everybody; should it be late, whoever waits is told so after some
 * seconds, and what may wait at all is bounded. One timer for all, and none while nothing waits.
 */
import type { Clock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { Counters } from "./counters.ts";

/** A broker that is well takes one in milliseconds. */
export const TAKE_MS = 5_000;
export const UNTAKEN_MAX = 10_000;
const UNTAKEN_BYTES_MAX = 16 * 1024 * 1024;

interface Untaken {
  dueMs: number;
  reject: (why: AppError) => void;
}

export class Deliveries {
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #closed = new AbortController();
  /** In the order of their deadlines. */
  readonly #waiting = new Set<Untaken>();
  /** Of all the library holds, those nobody waits for any more among them. */
  #untaken = 0;
  #bytes = 0;
  #isWatching = false;

  constructor({ clock, counters }: { clock: Clock; counters: Counters }) {
    this.#clock = clock;
    this.#counters = counters;
  }

  /**
   * Resolves when `send` calls back. AppError "unavailable" when it does not in time: the message
   * may still arrive; "exhausted" when too many wait, and then it is not sent at all.
   */
  async deliver(bytes: number, send: (done: (error?: unknown) => void) => void): Promise<void> {
    if (this.#untaken >= UNTAKEN_MAX || this.#bytes + bytes > UNTAKEN_BYTES_MAX) {
      this.#counters.drop("broker_queue_full");
      throw new AppError("exhausted", `Cannot publish: ${this.#untaken} messages wait`);
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const untaken: Untaken = {
      dueMs: this.#clock.monotonicMs() + TAKE_MS,
      reject,
    };
    this.#untaken++;
    this.#bytes += bytes;
    this.#waiting.add(untaken);
    let isDone = false;
    send((error) => {
      if (isDone) return;
      isDone = true;
      this.#untaken--;
      this.#bytes -= bytes;
      this.#waiting.delete(untaken);
      if (error) reject(error);
      else resolve();
    });
    if (!this.#isWatching && this.#waiting.size > 0) {
      void this.#watch().catch(() => {}); // it closes
    }
    await promise;
  }

  close(): void {
    const why = new AppError("canceled", "The broker closes");
    this.#closed.abort(why);
    for (const { reject } of this.#waiting) reject(why);
    this.#waiting.clear();
  }

  async #watch(): Promise<void> {
    this.#isWatching = true;
    try {
      for (;;) {
        const [oldest] = this.#waiting;
        if (!oldest) return;
        const leftMs = oldest.dueMs - this.#clock.monotonicMs();
        if (leftMs > 0) {
          await this.#clock.sleep(leftMs, this.#closed.signal);
          continue;
        }
        this.#waiting.delete(oldest);
        this.#counters.drop("broker_stalled");
        const what = `The broker did not take it within ${TAKE_MS} ms`;
        oldest.reject(new AppError("unavailable", what));
      }
    } finally {
      this.#isWatching = false;
    }
  }
}
