/**
 * Brings queued messages to the disk, and takes them away again. Writes that wait together share
 * one sync (the store sees to that). What was acknowledged is taken away with the next write, or
 * after a moment: a kill before that sends it twice, which QoS 1 allows.
 */
import type { Clock } from "../../shared/clock.ts";
import { errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import { recordId, type StoreOp } from "../../shared/store/port.ts";
import { type BrokerStore, QUEUE_STREAM, SENT_BUCKET, type SentRow } from "./kept_rows.ts";
import type { Entry } from "./session_queue.ts";

/** A client that is there has so long to acknowledge before its message is written. */
export const LATE_MS = 10;
const REMOVE_MS = 250;
/** Appends in one commit, at most; the largest are 256 KiB. */
const APPENDS_MAX = 32;
const REMOVALS_MAX = 1_000;

export class QueueWriter {
  readonly #store: BrokerStore;
  readonly #clock: Clock;
  readonly #closed = new AbortController();
  /** By when they are due. */
  readonly #late = new Map<Entry, number>();
  readonly #tasks = new Set<Promise<void>>();
  readonly #log = roomLogger("edge", "mqtt");
  #removals: Entry[] = [];
  #isWatching = false;
  #isGathering = false;

  constructor({ store, clock }: { store: BrokerStore; clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Now, in one commit or a few; each entry's `onKept` is told. */
  write(entries: readonly Entry[]): Promise<void> {
    const waiting = entries.filter((entry) => entry.row === undefined && !entry.writing);
    const batches: Promise<void>[] = [];
    for (let at = 0; at < waiting.length; at += APPENDS_MAX) {
      const batch = waiting.slice(at, at + APPENDS_MAX);
      const written = this.#write(batch);
      for (const entry of batch) entry.writing = written;
      batches.push(written);
      this.#track(written);
    }
    return batches.length === 1 ? batches[0]! : Promise.all(batches).then(() => {}); // one
  }

  /** Unless it is acknowledged soon. */
  writeLate(entry: Entry): void {
    this.#late.set(entry, this.#clock.monotonicMs() + LATE_MS);
    if (!this.#isWatching) this.#track(this.#watch());
  }

  /** It is acknowledged, or nobody waits for it any more. */
  remove(entry: Entry): void {
    this.#late.delete(entry);
    entry.onKept?.();
    entry.onKept = undefined;
    if (entry.row !== undefined) this.#removeRow(entry);
    else void entry.writing?.then(() => entry.row === undefined || this.#removeRow(entry));
  }

  /** The handshake of QoS 2 is on disk when it resolves. Rejects when it cannot be. */
  async mark(entry: Entry, isReleased: boolean): Promise<void> {
    await (entry.writing ?? this.write([entry]));
    if (entry.row === undefined || entry.packetId === undefined) return;
    const value: SentRow = { client: entry.client, packetId: entry.packetId, isReleased };
    await this.#store.commit([
      { op: "put", bucket: SENT_BUCKET, key: String(entry.row), value },
    ]);
  }

  /** Whatever waits is written. */
  async close(): Promise<void> {
    this.#closed.abort();
    while (this.#tasks.size > 0) await Promise.allSettled([...this.#tasks]);
    await this.write([...this.#late.keys()]);
    while (this.#removals.length > 0) await this.#commitRemovals();
  }

  async #write(batch: readonly Entry[]): Promise<void> {
    for (const entry of batch) this.#late.delete(entry);
    const atMs = this.#clock.nowMs();
    const ops = batch.map(({ client, message }): StoreOp => ({
      op: "append",
      stream: QUEUE_STREAM,
      key: client,
      value: message,
      atMs,
    }));
    try {
      const sequence = await this.#store.commit([...ops, ...this.#removalOps()]);
      for (const [index, entry] of batch.entries()) entry.row = recordId(sequence, index);
    } catch (error) {
      for (const entry of batch) this.#settle(entry, error);
      this.#log.warn("Messages for sessions are not on disk", { error: errorChain(error) });
      return;
    }
    for (const entry of batch) this.#settle(entry);
  }

  #settle(entry: Entry, error?: unknown): void {
    entry.writing = undefined;
    entry.onKept?.(error);
    entry.onKept = undefined;
  }

  async #watch(): Promise<void> {
    this.#isWatching = true;
    try {
      for (;;) {
        const [first] = this.#late;
        if (!first) return;
        const leftMs = first[1] - this.#clock.monotonicMs();
        if (leftMs > 0) await this.#clock.sleep(leftMs, this.#closed.signal);
        const nowMs = this.#clock.monotonicMs();
        const due: Entry[] = [];
        for (const [entry, dueMs] of this.#late) {
          if (dueMs > nowMs) break;
          due.push(entry);
        }
        void this.write(due); // it tells each, and close waits for it
      }
    } catch {
      // it closes, and writes what is left
    } finally {
      this.#isWatching = false;
    }
  }

  #removeRow(entry: Entry): void {
    this.#removals.push(entry);
    if (!this.#isGathering || this.#removals.length >= REMOVALS_MAX) this.#track(this.#gather());
  }

  async #gather(): Promise<void> {
    if (!this.#isGathering) {
      this.#isGathering = true;
      await this.#clock.sleep(REMOVE_MS, this.#closed.signal).catch(() => {}); // it closes
      this.#isGathering = false;
    }
    if (this.#removals.length > 0) await this.#commitRemovals();
  }

  async #commitRemovals(): Promise<void> {
    const ops = this.#removalOps();
    await this.#store.commit(ops).catch((error) => {
      // they stay on disk, and are sent again after the next start
      this.#log.warn("Acknowledged messages stay on disk", { error: errorChain(error) });
    });
  }

  #removalOps(): StoreOp[] {
    const entries = this.#removals;
    this.#removals = [];
    if (entries.length === 0) return [];
    const ids = entries.flatMap(({ row }) => row ?? []);
    const marks = entries.filter(({ qos, packetId }) => qos === 2 && packetId !== undefined);
    return [
      { op: "remove", stream: QUEUE_STREAM, ids },
      ...marks.map(({ row }): StoreOp => ({
        op: "delete",
        bucket: SENT_BUCKET,
        key: String(row),
      })),
    ];
  }

  #track(task: Promise<void>): void {
    this.#tasks.add(task);
    void task.then(() => this.#tasks.delete(task), () => this.#tasks.delete(task)); // told apart
  }
}
