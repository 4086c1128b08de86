/**
 * Brings queued messages to the disk, and takes them away again. What waits while the disk is busy
 * is one commit. What was acknowledged is taken away with the next write, or
 * after a moment: a kill before that sends it twice, which QoS 1 allows.
 */
import { type Clock, nextTurn } from "../../shared/clock.ts";
import { errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import { recordId, type StoreOp } from "../../shared/store/port.ts";
import { type BrokerStore, QUEUE_STREAM, SENT_BUCKET, type SentRow } from "./kept_rows.ts";
import type { Entry } from "./session_queue.ts";

/** A client that is there has so long to acknowledge before its message is written. */
export const LATE_MS = 30;
/** One that was late is not waited for again for a while. */
const SLOW_MS = 1_000;
const REMOVE_MS = 250;
/** In one commit; one message more of 256 KiB may be in it. */
const APPENDS_MAX = 512;
const BATCH_BYTES = 1024 * 1024;
const REMOVALS_MAX = 1_000;

interface Batch {
  entries: Entry[];
  bytes: number;
  written: PromiseWithResolvers<void>;
}

export class QueueWriter {
  readonly #store: BrokerStore;
  readonly #clock: Clock;
  readonly #closed = new AbortController();
  /** By when they are due. */
  readonly #late = new Map<Entry, number>();
  /** Clients that were late. */
  readonly #slowUntilMs = new Map<string, number>();
  readonly #tasks = new Set<Promise<void>>();
  readonly #log = roomLogger("edge", "mqtt");
  readonly #batches: Batch[] = [];
  #removals: Entry[] = [];
  #isWriting = false;
  #isWatching = false;
  #isGathering = false;

  constructor({ store, clock }: { store: BrokerStore; clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
  }

  /** With all that comes while the disk is busy; each entry's `onKept` is told. */
  async write(entries: readonly Entry[]): Promise<void> {
    let last = Promise.resolve();
    for (const entry of entries) {
      if (entry.row !== undefined || entry.state === "gone") continue;
      if (!entry.writing) {
        this.#late.delete(entry);
        entry.writing = this.#batchFor(entry).written.promise;
      }
      last = entry.writing;
    }
    await last; // batches end in their order
  }

  /** Unless it is acknowledged soon, as those before it were; false when that is not waited for. */
  writeLate(entry: Entry): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < (this.#slowUntilMs.get(entry.client) ?? 0)) return false;
    this.#late.set(entry, nowMs + LATE_MS);
    if (!this.#isWatching) this.#track(this.#watch());
    return true;
  }

  /** Its connection is gone. */
  forget(client: string): void {
    this.#slowUntilMs.delete(client);
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
    void this.write([...this.#late.keys()]); // one of the tasks
    while (this.#tasks.size > 0) await Promise.allSettled([...this.#tasks]);
    while (this.#removals.length > 0) await this.#commitRemovals();
  }

  #batchFor(entry: Entry): Batch {
    let batch = this.#batches.at(-1);
    if (!batch || batch.entries.length >= APPENDS_MAX || batch.bytes >= BATCH_BYTES) {
      batch = { entries: [], bytes: 0, written: Promise.withResolvers() };
      this.#batches.push(batch);
    }
    batch.entries.push(entry);
    batch.bytes += entry.bytes;
    if (!this.#isWriting) this.#track(this.#writeAll());
    return batch;
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    try {
      await nextTurn(); // for whatever came in the same read
      for (let batch; (batch = this.#batches.shift());) {
        await this.#commit(batch.entries);
        batch.written.resolve();
      }
    } finally {
      this.#isWriting = false;
    }
  }

  async #commit(batch: readonly Entry[]): Promise<void> {
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
          this.#slowUntilMs.set(entry.client, nowMs + SLOW_MS);
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
