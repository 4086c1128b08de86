/**
 * Lets at most `width` pieces of work through at once: what is nearest to its end first, cleaning
 * last, and equals in the order they came. What waits is bounded by the pods there are.
 */
export type Turn = "first" | "normal" | "last";

const TURNS: readonly Turn[] = ["first", "normal", "last"];

export class Gate {
  #free: number;
  readonly #queues = new Map<Turn, (() => void)[]>(TURNS.map((turn) => [turn, []]));

  constructor(width: number) {
    this.#free = width;
  }

  async run<T>(
    work: () => Promise<T>,
    signal: AbortSignal,
    turn: Turn = "normal",
  ): Promise<T> {
    await this.#enter(turn, signal);
    try {
      return await work();
    } finally {
      const next = this.#next();
      if (next) next();
      else this.#free++;
    }
  }

  #next(): (() => void) | undefined {
    for (const queue of this.#queues.values()) if (queue.length > 0) return queue.shift();
    return undefined;
  }

  #enter(turn: Turn, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#free > 0) {
      this.#free--;
      return Promise.resolve();
    }
    const queue = this.#queues.get(turn)!; // made with one for each turn
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        queue.splice(queue.indexOf(onTurn), 1);
        reject(signal.reason);
      };
      const onTurn = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      queue.push(onTurn);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}
