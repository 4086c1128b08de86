/**
 * A first-in first-out queue with a bound and a named overflow policy. One or more consumers pull
 * with `take`; `close` lets them drain what is left and then see undefined.
 */
import { AppError, invariant } from "../errors.ts";

export interface BoundedQueueOptions {
  capacity: number;
  /** `reject`: push throws "exhausted"; `drop_oldest`: the head makes room and is counted. */
  onFull: "reject" | "drop_oldest";
}

export class BoundedQueue<T> {
  readonly #options: BoundedQueueOptions;
  #items: T[] = [];
  #waiters = new Set<() => void>();
  #closed = false;
  #dropped = 0;

  constructor(options: BoundedQueueOptions) {
    invariant(options.capacity > 0, "queue capacity must be positive");
    this.#options = options;
  }

  get size(): number {
    return this.#items.length;
  }

  get dropped(): number {
    return this.#dropped;
  }

  push(item: T): void {
    if (this.#closed) throw new AppError("canceled", "Cannot push: queue is closed");
    if (this.#items.length >= this.#options.capacity) {
      if (this.#options.onFull === "reject") {
        throw new AppError("exhausted", "Cannot push: queue is full", {
          capacity: this.#options.capacity,
        });
      }
      this.#items.shift();
      this.#dropped++;
    }
    this.#items.push(item);
    this.#wakeAll();
  }

  close(): void {
    this.#closed = true;
    this.#wakeAll();
  }

  /** The next item; undefined once closed and empty; rejects when `signal` aborts. */
  async take(signal?: AbortSignal): Promise<T | undefined> {
    while (this.#items.length === 0) {
      if (this.#closed) return undefined;
      signal?.throwIfAborted();
      await new Promise<void>((resolve) => {
        const done = () => {
          signal?.removeEventListener("abort", done);
          this.#waiters.delete(done);
          resolve();
        };
        this.#waiters.add(done);
        signal?.addEventListener("abort", done, { once: true });
      });
    }
    return this.#items.shift();
  }

  #wakeAll(): void {
    for (const wake of [...this.#waiters]) wake();
  }
}
