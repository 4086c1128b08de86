/**
 * Retained messages, on disk. In memory are their topics, and for a moment what is on its way to
 * the disk. A publisher of QoS 1 or 2 hears when its message is there; those of QoS 0 gather for a
 * second. A message that says what is retained already is not written. While the disk is spared,
 * what replaces another gathers for ten minutes, whatever its QoS: a restart then finds the one
 * before.
 */
import type { Clock } from "../../shared/clock.ts";
import { errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { StoreOp } from "../../shared/store/port.ts";
import type { Counters } from "./counters.ts";
import {
  type BrokerStore,
  type Message,
  parseMessage,
  RETAINED_BUCKET,
  retainedKey,
  rowsOf,
} from "./kept_rows.ts";
import { topicMatches } from "./topics.ts";

export const RETAINED_MAX = 10_000;
const RETAINED_BYTES_MAX = 8 * 1024 * 1024;
const GATHER_MS = 1_000;
export const SPARING_MS = 10 * 60_000;
/** What a message costs beside its bytes, roughly. */
const ROW_BYTES = 128;
/** Rows in one commit. */
const BATCH = 256;

export interface RetainedOptions {
  store: BrokerStore;
  counters: Counters;
  clock: Clock;
  /** True while the disk is to be spared. */
  sparing: () => boolean;
}

export class Retained {
  readonly #options: RetainedOptions;
  readonly #closed = new AbortController();
  /** Bytes by topic. */
  readonly #topics = new Map<string, number>();
  /** Not on disk yet; undefined takes one away. */
  readonly #unwritten = new Map<string, Message | undefined>();
  readonly #log = roomLogger("edge", "mqtt");
  #bytes = 0;
  #gathering: Promise<void> | undefined;

  constructor(options: RetainedOptions) {
    this.#options = options;
    for (const { value } of rowsOf(options.store, RETAINED_BUCKET)) {
      const message = parseMessage(value);
      if (message) this.#count(message);
    }
  }

  get size(): number {
    return this.#topics.size;
  }

  /** A promise where its publisher is to wait for the disk. */
  keep(message: Message): Promise<void> | undefined {
    const isRemoval = message.payload.length === 0;
    const before = this.#topics.get(message.topic);
    if (isRemoval ? before === undefined : this.#isFull(message, before)) return undefined;
    if (!isRemoval && before !== undefined && this.#says(message)) return undefined;
    if (isRemoval) this.#forget(message.topic);
    else this.#count(message);
    this.#unwritten.set(message.topic, isRemoval ? undefined : message);
    const isSpared = this.#options.sparing() && before !== undefined && !isRemoval;
    if (message.qos > 0 && !isSpared) return this.#write([message.topic]);
    this.#gathering ??= this.#gather(isSpared ? SPARING_MS : GATHER_MS);
    return undefined;
  }

  /** Those on topics that match one of `filters`. */
  *matching(filters: readonly string[]): Generator<Message> {
    for (const topic of [...this.#topics.keys()]) {
      if (!filters.some((filter) => topicMatches(filter, topic))) continue;
      const message = this.#get(topic);
      if (message) yield message;
    }
  }

  /** Whatever gathered is written. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#gathering;
    await this.#writeAll();
  }

  #get(topic: string): Message | undefined {
    if (this.#unwritten.has(topic)) return this.#unwritten.get(topic);
    return parseMessage(this.#options.store.get(RETAINED_BUCKET, retainedKey(topic)));
  }

  #says({ topic, payload, qos }: Message): boolean {
    const held = this.#get(topic);
    return held !== undefined && held.qos === qos && held.payload.length === payload.length &&
      held.payload.every((byte, index) => byte === payload[index]) && !this.#unwritten.has(topic);
  }

  #isFull(message: Message, before: number | undefined): boolean {
    const bytes = this.#bytes - (before ?? 0) + sizeOf(message);
    const isFull = (before === undefined && this.#topics.size >= RETAINED_MAX) ||
      bytes > RETAINED_BYTES_MAX;
    if (isFull) this.#options.counters.drop("retained_full");
    return isFull;
  }

  #count(message: Message): void {
    this.#bytes += sizeOf(message) - (this.#topics.get(message.topic) ?? 0);
    this.#topics.set(message.topic, sizeOf(message));
  }

  #forget(topic: string): void {
    this.#bytes -= this.#topics.get(topic) ?? 0;
    this.#topics.delete(topic);
  }

  async #gather(ms: number): Promise<void> {
    await this.#options.clock.sleep(ms, this.#closed.signal).catch(() => {}); // it closes
    this.#gathering = undefined;
    await this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    while (this.#unwritten.size > 0) {
      const topics = [...this.#unwritten.keys()].slice(0, BATCH);
      try {
        await this.#write(topics);
      } catch (error) {
        this.#options.counters.drop("not_stored");
        this.#log.warn("Retained messages are not on disk", { error: errorChain(error) });
        return; // they stay, and go with the next
      }
    }
  }

  async #write(topics: readonly string[]): Promise<void> {
    const written = topics.map((topic) => [topic, this.#unwritten.get(topic)] as const);
    const ops = written.map(([topic, message]): StoreOp => {
      const row = { bucket: RETAINED_BUCKET, key: retainedKey(topic) };
      return message ? { op: "put", ...row, value: message } : { op: "delete", ...row };
    });
    await this.#options.store.commit(ops);
    for (const [topic, message] of written) {
      if (this.#unwritten.get(topic) === message) this.#unwritten.delete(topic);
    }
  }
}

function sizeOf({ topic, payload }: Message): number {
  return topic.length + payload.length + ROW_BYTES;
}
