/**
 * A wake-up that carries no data: any number of `wake()` before a waiter looks count as one. The
 * work reads whole state, so the reason does not matter and nothing can be missed or replayed.
 */
export class Wakeup {
  #pending = false;
  #waiters = new Set<() => void>();

  wake(): void {
    this.#pending = true;
    const waiters = this.#waiters;
    this.#waiters = new Set();
    for (const resolve of waiters) resolve();
  }

  /** Resolves at once when a wake-up is pending, else at the next; rejects when `signal` aborts. */
  wait(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#pending) {
      this.#pending = false;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiters.delete(onWake);
        reject(signal.reason);
      };
      const onWake = () => {
        signal.removeEventListener("abort", onAbort);
        this.#pending = false;
        resolve();
      };
      this.#waiters.add(onWake);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}

/** Fans one change out to any number of wake-ups; the way a room tells others "look again". */
export class Changes {
  readonly #listeners = new Set<() => void>();

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
