/**
 * Takes the samples of one destination there, in their order, until none waits. A destination that
 * is away, or busy, is asked again with growing, jittered pauses, and nothing of its queue moves;
 * what it will never take is counted and passed over. Forgetting is durable only after the
 * delivery: a crash in between delivers again.
 */
import { fullJitterMs } from "../../shared/async/backoff.ts";
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import type { Clock } from "../../shared/clock.ts";
import { errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import type { Delivery, Destination, DestinationStatus, Sender } from "./port.ts";
import type { PushQueue, QueuedSample } from "./queues.ts";

const READ_ROWS = 500;
const READ_BYTES = 512 * 1024;
const BACKOFF = { initialMs: 1_000, maxMs: 60_000 };
/** A pause is never shorter: full jitter may give none. */
const PAUSE_MS_MIN = 250;
/** A connection that nothing went over for so long is closed. */
const IDLE_MS = 60_000;

const log = roomLogger("edge", "push");

export interface CourierOptions {
  queue: PushQueue;
  open: (destination: Destination) => Promise<Sender>;
  clock: Clock;
  random: Random;
  /** Nothing waits any more. */
  onDrained: () => void;
}

type State = { kind: "idle" } | { kind: "delivering" } | { kind: "waiting"; problem: string };

export class Courier {
  readonly queue: PushQueue;
  readonly #options: CourierOptions;
  #state: State = { kind: "idle" };
  #sender: Sender | undefined;
  #failures = 0;

  constructor(options: CourierOptions) {
    this.#options = options;
    this.queue = options.queue;
  }

  status(): DestinationStatus {
    const { kind, address } = this.queue.destination;
    const problem = this.#state.kind === "waiting" ? { problem: this.#state.problem } : {};
    return { kind, address, state: this.#state.kind, ...problem, ...this.queue.facts() };
  }

  async run(signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        const waiting = this.queue.read(READ_ROWS, READ_BYTES);
        if (waiting.length === 0) await this.#rest(signal);
        else await this.#deliver(waiting, signal);
      }
    } finally {
      await this.#close();
    }
  }

  async #rest(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    this.#state = { kind: "idle" };
    this.#options.onDrained();
    if (!this.#sender) return await this.queue.news.wait(signal);
    const sinceMs = clock.monotonicMs();
    await waitAtMost(this.queue.news, clock, IDLE_MS, signal);
    if (clock.monotonicMs() - sinceMs >= IDLE_MS) await this.#close();
  }

  /** Delivers what can be, then pauses if something could not. */
  async #deliver(waiting: readonly QueuedSample[], signal: AbortSignal): Promise<void> {
    if (this.#state.kind !== "waiting") this.#state = { kind: "delivering" };
    const delivered: number[] = [];
    const refused: number[] = [];
    let later: string | undefined;
    try {
      later = await this.#deliverAll(waiting, { delivered, refused }, signal);
    } finally {
      await this.#settle(delivered, refused);
    }
    if (later === undefined) {
      this.#failures = 0;
      this.#state = { kind: "delivering" };
      return;
    }
    await this.#pause(later, signal);
  }

  /** Why not all was delivered. */
  async #deliverAll(
    waiting: readonly QueuedSample[],
    done: { delivered: number[]; refused: number[] },
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const sender = await this.#open();
    if (typeof sender === "string") return sender;
    for (let at = 0; at < waiting.length; at += sender.batchMax) {
      const batch = waiting.slice(at, at + sender.batchMax);
      const deliveries = await sender.send(batch.map(({ sample }) => sample), signal);
      const later = this.#account(batch, deliveries, done);
      if (later !== undefined) return later;
    }
    return undefined;
  }

  #account(
    batch: readonly QueuedSample[],
    deliveries: readonly Delivery[],
    done: { delivered: number[]; refused: number[] },
  ): string | undefined {
    let later: string | undefined;
    for (const [i, { id, sample }] of batch.entries()) {
      const delivery = deliveries[i] ?? { kind: "later", reason: "no answer" };
      if (delivery.kind === "done") done.delivered.push(id);
      else if (delivery.kind === "later") later ??= delivery.reason;
      else {
        done.refused.push(id);
        const { namespace, device, property } = sample;
        const subject = `${namespace}/${device}/${property}`;
        log.warning("Value refused by its destination", { subject, reason: delivery.reason });
      }
    }
    return later;
  }

  async #open(): Promise<Sender | string> {
    try {
      this.#sender ??= await this.#options.open(this.queue.destination);
      return this.#sender;
    } catch (error) {
      return errorChain(error);
    }
  }

  /** What cannot be written is delivered again: better twice than not. */
  async #settle(delivered: readonly number[], refused: readonly number[]): Promise<void> {
    try {
      await this.queue.settle(delivered, refused);
    } catch (error) {
      log.warning("Delivered values not forgotten", { error: errorChain(error) });
      this.#failures++;
    }
  }

  async #pause(problem: string, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    if (this.#state.kind !== "waiting") {
      const { kind, address } = this.queue.destination;
      log.warning("Values wait for their destination", { kind, address, problem });
    }
    this.#state = { kind: "waiting", problem };
    await this.#close(); // what broke is opened anew
    const pauseMs = Math.max(PAUSE_MS_MIN, fullJitterMs(BACKOFF, this.#failures++, random));
    await clock.sleep(pauseMs, signal);
  }

  async #close(): Promise<void> {
    const sender = this.#sender;
    this.#sender = undefined;
    try {
      await sender?.close();
    } catch (error) {
      log.debug("Connection not closed in order", { error: errorChain(error) });
    }
  }
}
