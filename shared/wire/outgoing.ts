/**
 * Messages on their way into one stream. Urgent ones (heartbeats, acknowledgements) go before bulk
 * ones, so a large transfer never silences a link; bulk senders wait until the transport has taken
 * their message, which is what carries the peer's flow control back to whoever makes the data.
 */
import { AppError } from "../errors.ts";
import { Wakeup } from "../async/wakeup.ts";

export interface OutgoingOptions<T> {
  /** Urgent messages that may wait: a peer that reads none of so many is gone, the stream ends. */
  urgentMax: number;
  /** Called with each message as the transport takes it. */
  onTaken?: (message: T) => void;
}

interface Bulk<T> {
  message: T;
  taken: PromiseWithResolvers<void>;
}

export class Outgoing<T> implements AsyncIterable<T> {
  readonly #options: OutgoingOptions<T>;
  readonly #never = new AbortController().signal;
  readonly #wake = new Wakeup();
  #urgent: T[] = [];
  #bulk: Bulk<T>[] = [];
  #ended = false;

  constructor(options: OutgoingOptions<T>) {
    this.#options = options;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Queues a small message ahead of all bulk. Dropped without a word once the stream has ended. */
  send(message: T): void {
    if (this.#ended) return;
    if (this.#urgent.length >= this.#options.urgentMax) return this.end();
    this.#urgent.push(message);
    this.#wake.wake();
  }

  /** Resolves when the transport took the message; "canceled" when the stream ended before. */
  sendBulk(message: T): Promise<void> {
    if (this.#ended) return Promise.reject(streamEnded());
    const taken = Promise.withResolvers<void>();
    this.#bulk.push({ message, taken });
    this.#wake.wake();
    return taken.promise;
  }

  /** Ends the stream after the urgent messages that wait; bulk that waits is refused. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const item of this.#bulk.splice(0)) item.taken.reject(streamEnded());
    this.#wake.wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    try {
      for (;;) {
        const urgent = this.#urgent.shift();
        if (urgent !== undefined) {
          this.#options.onTaken?.(urgent);
          yield urgent;
          continue;
        }
        if (this.#ended) return;
        const bulk = this.#bulk.shift();
        if (bulk === undefined) {
          await this.#wake.wait(this.#never);
          continue;
        }
        // resolved before the yield: the consumer asks for the next one only when this one is out,
        // and a sender must not be held for ever by a consumer that went away
        bulk.taken.resolve();
        this.#options.onTaken?.(bulk.message);
        yield bulk.message;
      }
    } finally {
      this.#urgent = [];
      this.end();
    }
  }
}

function streamEnded(): AppError {
  return new AppError("canceled", "Stream ended");
}
