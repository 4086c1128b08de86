/**
 * A lane of the outbox that may be long: its records lie in a stream of the store, and only those
 * on their way (the *window*) and a few read ahead are in memory. How it shares the link:
 *
 * - at most `windowMax` of its records are on their way at once, so that room stays for others;
 * - of these at most `replayMax` are replay (older than LIVE_MS), so that what is measured now does
 *   not wait behind what gathered while the link was down;
 * - replay goes out at no more than the pacer's rate, oldest first.
 *
 * Where records of one key replace one another at the cloud, all is replay, so that order is kept.
 *
 * A record on its way is never dropped; it leaves when it is acknowledged.
 */
import type { Clock } from "../../shared/clock.ts";
import {
  type BulkRecord,
  recordId,
  type Store,
  type StoreOp,
  type StreamStats,
} from "../../shared/store/port.ts";
import type { Report } from "../../shared/wire/report.ts";
import { type PaceOptions, Pacer } from "./pacer.ts";
import type { BulkLaneName, OutboxItem, OutboxRecord } from "./port.ts";

/** Sequences of these lanes are above all of the others; ids stay below it for 10^12 commits. */
const SEQUENCE_BASE = 2 ** 52;
/** Operating time for which a record counts as live. */
const LIVE_MS = 5_000;
/** Live records remembered; those beyond wait their turn as replay. */
const LIVE_MAX = 1_000;
/** Records read in one go. */
const AHEAD_ROWS = 128;

export interface BulkLaneOptions {
  store: Store;
  clock: Clock;
  lane: BulkLaneName;
  stream: string;
  ttlMs: number;
  rowsMax: number;
  bytesMax: number;
  windowMax: number;
  replayMax: number;
  pace: PaceOptions;
  /**
   * Keys differ on the wire, because the cloud keeps the latest of a key and every record counts.
   * Without it the lane keeps its order, the live among it: the cloud takes no older after newer.
   */
  uniqueKeys: boolean;
}

interface Waiting {
  item: OutboxItem;
  replay: boolean;
}

export class BulkLane {
  readonly #options: BulkLaneOptions;
  readonly #pacer: Pacer;
  /** On their way, by id. */
  readonly #window = new Map<number, Waiting>();
  #replaying = 0;
  /** Read from the stream, not on their way yet; oldest first. */
  #ahead: BulkRecord<Report>[] = [];
  readonly #aheadIds = new Set<number>();
  /** Everything up to here was read ahead. */
  #cursor = -1;
  /** Appended of late and not on their way yet, oldest first. */
  #live: { id: number; upMs: number }[] = [];
  readonly #acking = new Set<number>();
  /** True when the pacer held something back. */
  throttled = false;

  constructor(options: BulkLaneOptions) {
    const { store, clock, stream, ttlMs, rowsMax, bytesMax, pace } = options;
    this.#options = options;
    this.#pacer = new Pacer(pace, clock.monotonicMs());
    const keep = (id: number) => this.#window.has(id) || this.#aheadIds.has(id);
    store.bulk.declare(stream, { ttlMs, rowsMax, bytesMax, keep });
  }

  stats(): StreamStats {
    return this.#options.store.bulk.stats(this.#options.stream);
  }

  ops(records: readonly OutboxRecord[]): StoreOp[] {
    const { stream, clock } = this.#options;
    const atMs = clock.nowMs();
    return records.map(({ key, report }) => ({ op: "append", stream, key, value: report, atMs }));
  }

  /** After the commit of `count` records, of which the first was its `first`th append. */
  appended(sequence: number, count: number, first = 0): void {
    if (!this.#options.uniqueKeys) return;
    const upMs = this.#options.store.bulk.upMs();
    for (let i = 0; i < count; i++) this.#live.push({ id: recordId(sequence, first + i), upMs });
    if (this.#live.length > LIVE_MAX) this.#live = this.#live.slice(-LIVE_MAX);
  }

  /** True while a record waits that is neither on its way nor read already. */
  untouched(id: number): boolean {
    return id > this.#cursor && !this.#window.has(id);
  }

  removal(ids: readonly number[]): StoreOp {
    return { op: "remove", stream: this.#options.stream, ids };
  }

  /** What is or may go on its way, live first. */
  pending(): Iterable<OutboxItem> {
    this.#fillLive();
    this.#fillReplay();
    return this.#window.values().map((waiting) => waiting.item);
  }

  static sequenceOf(id: number): number {
    return SEQUENCE_BASE + id;
  }

  /** What forgets those on their way, and what to call when that is durable or has failed. */
  acknowledgement(sequences: readonly number[]): { ops: StoreOp[]; done: (ok: boolean) => void } {
    const ids = sequences.map((sequence) => sequence - SEQUENCE_BASE)
      .filter((id) => this.#window.has(id) && !this.#acking.has(id));
    for (const id of ids) this.#acking.add(id);
    return {
      ops: ids.length > 0 ? [this.removal(ids)] : [],
      done: (ok) => {
        for (const id of ids) {
          this.#acking.delete(id);
          if (ok) this.#leave(id);
        }
      },
    };
  }

  #leave(id: number): void {
    if (this.#window.get(id)?.replay) this.#replaying--;
    this.#window.delete(id);
  }

  #fillLive(): void {
    const { store, stream, windowMax, uniqueKeys } = this.#options;
    if (!uniqueKeys) return;
    const oldestMs = store.bulk.upMs() - LIVE_MS;
    const stale = this.#live.findIndex((live) => live.upMs >= oldestMs && live.id > this.#cursor);
    this.#live = stale < 0 ? [] : this.#live.slice(stale);
    const room = windowMax - this.#window.size;
    const first = this.#live[0];
    if (!first || room <= 0) return;
    const limit = Math.min(room, this.#live.length, AHEAD_ROWS);
    const records = store.bulk.read<Report>(stream, { after: first.id - 1, limit });
    for (const record of records) this.#enter(record, false);
    const last = records.at(-1)?.id ?? Infinity;
    this.#live = this.#live.filter((live) => live.id > last);
  }

  #fillReplay(): void {
    const { clock, windowMax, replayMax } = this.#options;
    this.throttled = false;
    for (;;) {
      const room = Math.min(windowMax - this.#window.size, replayMax - this.#replaying);
      if (room <= 0) return;
      if (this.#ahead.length === 0 && !this.#readAhead()) return;
      const wanted = Math.min(room, this.#ahead.length);
      const taken = this.#pacer.take(wanted, clock.monotonicMs());
      for (const record of this.#ahead.splice(0, taken)) {
        this.#aheadIds.delete(record.id);
        this.#enter(record, true);
      }
      this.throttled = taken < wanted;
      if (this.throttled) return;
    }
  }

  #readAhead(): boolean {
    const { store, stream } = this.#options;
    for (;;) {
      const range = { after: this.#cursor, limit: AHEAD_ROWS };
      const records = store.bulk.read<Report>(stream, range);
      const last = records.at(-1);
      if (!last) return false;
      this.#cursor = last.id;
      // those that went out as live are on their way already
      this.#ahead = records.filter((record) => !this.#window.has(record.id));
      for (const { id } of this.#ahead) this.#aheadIds.add(id);
      if (this.#ahead.length > 0) return true;
    }
  }

  #enter({ id, key, value }: BulkRecord<Report>, replay: boolean): void {
    if (this.#window.has(id)) return;
    const { lane, uniqueKeys } = this.#options;
    const item: OutboxItem = {
      sequence: BulkLane.sequenceOf(id),
      lane,
      key: uniqueKeys ? `${key}@${id}` : key,
      report: value,
    };
    this.#window.set(id, { item, replay });
    if (replay) this.#replaying++;
  }
}
