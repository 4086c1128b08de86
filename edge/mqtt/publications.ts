/**
 * Publications on their way to an external broker: in order, so many in flight, each kept until it
 * is acknowledged. What was in flight when a connection broke goes again on the next one.
 */
import { Wakeup } from "../../shared/async/wakeup.ts";
import { AppError } from "../../shared/errors.ts";

const WAITING_MAX = 10_000;
const BYTES_MAX = 16 * 1024 * 1024;
/** Answers may go beyond: who waits for room with them would hold up the acknowledgements. */
const ANSWERS_FACTOR = 2;
const IN_FLIGHT_MAX = 100;

interface Publication {
  topic: string;
  payload: string | Uint8Array;
  onDone?: () => void;
}

/** Sends one; calls back when the broker has it, or with why not. */
export type Send = (
  publication: { topic: string; payload: string | Uint8Array },
  done: (error?: unknown) => void,
) => void;

export class Publications {
  #waiting: Publication[] = [];
  readonly #inFlight = new Set<Publication>();
  readonly #room = new Wakeup();
  #bytes = 0;
  #send: Send | undefined;

  get size(): number {
    return this.#waiting.length + this.#inFlight.size;
  }

  /** The one that has waited longest for its acknowledgement. */
  get oldest(): object | undefined {
    return this.#inFlight.values().next().value;
  }

  /** From here on they go by `send`; undefined while there is no connection. */
  connect(send: Send | undefined): void {
    this.#waiting = [...this.#inFlight, ...this.#waiting];
    this.#inFlight.clear();
    this.#send = send;
    this.#pump();
  }

  /** Waits for room. */
  async add(
    topic: string,
    payload: string | Uint8Array,
    signal?: AbortSignal,
  ): Promise<void> {
    const never = signal ?? new AbortController().signal;
    while (!this.#hasRoom(1)) await this.#room.wait(never);
    this.#push({ topic, payload });
  }

  /** False when there is no room. */
  offer(topic: string, payload: string | Uint8Array): boolean {
    if (!this.#hasRoom(ANSWERS_FACTOR)) return false;
    this.#push({ topic, payload });
    return true;
  }

  /** Resolves when the broker has it. AppError "exhausted" when there is no room. */
  async deliver(
    topic: string,
    payload: string | Uint8Array,
    signal?: AbortSignal,
  ): Promise<void> {
    signal?.throwIfAborted();
    if (!this.#hasRoom(1)) {
      throw new AppError("exhausted", `Cannot publish: ${this.size} messages wait for the broker`);
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#push({ topic, payload, onDone: resolve });
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  #hasRoom(factor: number): boolean {
    return this.size < WAITING_MAX * factor && this.#bytes < BYTES_MAX * factor;
  }

  #push(publication: Publication): void {
    this.#waiting.push(publication);
    this.#bytes += sizeOf(publication);
    this.#pump();
  }

  #pump(): void {
    const send = this.#send;
    if (!send) return;
    let taken = 0;
    while (taken < this.#waiting.length && this.#inFlight.size < IN_FLIGHT_MAX) {
      const next = this.#waiting[taken++]!; // below its length
      this.#inFlight.add(next);
      send(next, (error) => {
        // of a connection that is gone: it has been put back, or went again
        if (this.#send === send && error === undefined) this.#done(next);
      });
    }
    if (taken > 0) this.#waiting.splice(0, taken);
  }

  #done(publication: Publication): void {
    if (!this.#inFlight.delete(publication)) return;
    this.#bytes -= sizeOf(publication);
    publication.onDone?.();
    this.#pump();
    this.#room.wake();
  }
}

function sizeOf({ topic, payload }: Publication): number {
  return topic.length + payload.length;
}
