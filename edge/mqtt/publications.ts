/**
 * Publications on their way to an external broker: in order, so many in flight, each kept until it
 * is acknowledged. What was in flight when a connection broke goes again on the next one. Who waits
 * for one waits so long, and what was not sent by then is withdrawn: nothing late surprises anybody
 * who was told that it did not go.
 */
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { Counters } from "./counters.ts";

const WAITING_MAX = 10_000;
const BYTES_MAX = 16 * 1024 * 1024;
/** Answers may go beyond: who waits for room with them would hold up the acknowledgements. */
const ANSWERS_FACTOR = 2;
const IN_FLIGHT_MAX = 100;
/** A broker that is there acknowledges in milliseconds; one that restarts is back by then. */
export const DELIVER_MS = 20_000;

interface Publication {
  topic: string;
  payload: string | Uint8Array;
  onDone?: () => void;
}

interface Waiter {
  dueMs: number;
  reject: (why: unknown) => void;
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
  readonly #closed = new AbortController();
  readonly #clock: Clock;
  readonly #counters: Counters;
  /** In the order of their deadlines. */
  readonly #waiters = new Set<Waiter>();
  #bytes = 0;
  #send: Send | undefined;
  #isWatching = false;

  constructor({ clock, counters }: { clock: Clock; counters: Counters }) {
    this.#clock = clock;
    this.#counters = counters;
  }

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

  /**
   * Resolves when the broker has it. AppError "exhausted" when there is no room, "unavailable" when
   * it has not within DELIVER_MS; one that was sent may arrive all the same.
   */
  async deliver(
    topic: string,
    payload: string | Uint8Array,
    signal?: AbortSignal,
  ): Promise<void> {
    signal?.throwIfAborted();
    if (!this.#hasRoom(1)) {
      this.#counters.drop("external_queue_full");
      throw new AppError("exhausted", `Cannot publish: ${this.size} messages wait for the broker`);
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    const waiter: Waiter = { dueMs: this.#clock.monotonicMs() + DELIVER_MS, reject };
    this.#waiters.add(waiter);
    const publication = { topic, payload, onDone: resolve };
    this.#push(publication);
    if (!this.#isWatching) void this.#watch().catch(() => {}); // nothing in it throws
    try {
      await promise;
    } catch (error) {
      this.#withdraw(publication);
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#waiters.delete(waiter);
    }
  }

  /** Ends every wait. */
  close(why: unknown): void {
    for (const { reject } of this.#waiters) reject(why);
    this.#waiters.clear();
    this.#closed.abort(why);
  }

  async #watch(): Promise<void> {
    this.#isWatching = true;
    try {
      for (;;) {
        const [oldest] = this.#waiters;
        if (!oldest) return;
        const leftMs = oldest.dueMs - this.#clock.monotonicMs();
        if (leftMs > 0) {
          await this.#clock.sleep(leftMs, this.#closed.signal);
          continue;
        }
        this.#waiters.delete(oldest);
        this.#counters.drop("external_stalled");
        const what = `The external broker did not take it within ${DELIVER_MS} ms`;
        oldest.reject(new AppError("unavailable", what));
      }
    } finally {
      this.#isWatching = false;
    }
  }

  /** Unless it has been sent. */
  #withdraw(publication: Publication): void {
    const at = this.#waiting.indexOf(publication);
    if (at < 0) return;
    this.#waiting.splice(at, 1);
    this.#bytes -= sizeOf(publication);
    this.#room.wake();
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
