/**
 * A lane of the outbox that may be long: its records lie in a stream of the store, and only those
 * on their way (the *window*) and a few read ahead are in memory. The rule by which it shares the
 * link:
 *
 * - of the reports the cloud takes at once it has at most `windowShare`, and at most
 *   `windowBytesMax` bytes, so that room stays for others;
 * - at most `replayShare` are replay (older than LIVE_MS), so that what is measured now does not
 *   wait behind what gathered while the link was down;
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
import { decodeBody } from "../../shared/wire/codec.ts";
import type { Report } from "../../shared/wire/report.ts";
import { type PaceOptions, Pacer } from "../../shared/async/pacer.ts";
import type { BulkLaneName, OutboxItem, OutboxRecord } from "./port.ts";

/** Sequences of these lanes are above all of the others; ids stay below it for 10^12 commits. */
const SEQUENCE_BASE = 2 ** 52;
/** Operating time for which a record counts as live. */
const LIVE_MS = 5_000;
/** Live records remembered; those beyond wait their turn as replay. */
const LIVE_MAX = 1_000;
/** Records read in one go. */
const AHEAD_ROWS = 512;
const AHEAD_BYTES = 512 * 1024;
/** Reports the cloud takes at once before it has said how many. */
const GRANT = 512;

export interface BulkLaneOptions {
  store: Store;
  clock: Clock;
  lane: BulkLaneName;
  stream: string;
  ttlMs: number;
  rowsMax: number;
  bytesMax: number;
  /** Of the reports the cloud takes at once. */
  windowShare: number;
  replayShare: number;
  /** Bodies on their way; one always goes. */
  windowBytesMax: number;
  pace: PaceOptions;
  /**
   * Keys differ on the wire, because the cloud keeps the latest of a key and every record counts.
   * Without it the lane keeps its order, what is live among it: the cloud takes no older after
   * newer.
   */
  uniqueKeys: boolean;
}

type Encoded = Uint8Array<ArrayBuffer>;

type Skip = (sequence: number) => boolean;

interface Waiting {
  item: StoredItem;
  replay: boolean;
}

/** A record as it lies in the store; its report is for those who look. */
class StoredItem implements OutboxItem {
  readonly sequence: number;
  readonly lane: BulkLaneName;
  readonly key: string;
  readonly body: Encoded;

  constructor(sequence: number, lane: BulkLaneName, key: string, body: Encoded) {
    this.sequence = sequence;
    this.lane = lane;
    this.key = key;
    this.body = body;
  }

  get report(): Report {
    return decodeBody(this.body, this.key) as Report; // one was appended
  }
}

export class BulkLane {
  readonly #options: BulkLaneOptions;
  readonly #pacer: Pacer;
  /** On their way, by id. */
  readonly #window = new Map<number, Waiting>();
  /** Of these, those that `#sender` had not named when it was last asked. */
  #unsent: StoredItem[] = [];
  #sender: Skip | undefined;
  #windowBytes = 0;
  #replaying = 0;
  #windowMax: number;
  #replayMax: number;
  /** Read from the stream, not on their way yet; oldest first. */
  #ahead: BulkRecord<Encoded>[] = [];
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
    this.#windowMax = shareOf(GRANT, options.windowShare);
    this.#replayMax = shareOf(GRANT, options.replayShare);
    const keep = (id: number) => this.#window.has(id) || this.#aheadIds.has(id);
    store.bulk.declare(stream, { ttlMs, rowsMax, bytesMax, keep });
  }

  /** So many reports, of all lanes together, may be in flight from now on. */
  grant(itemsMax: number): void {
    const { windowShare, replayShare } = this.#options;
    this.#windowMax = shareOf(itemsMax, windowShare);
    this.#replayMax = shareOf(itemsMax, replayShare);
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

  /**
   * What is or may go on its way, live first, without what `skip` names; what it has named once it
   * names until that is acknowledged, so it is not asked again about what is in flight.
   */
  pending(skip?: Skip): readonly OutboxItem[] {
    this.#fillLive();
    this.#fillReplay();
    const all = () => Array.from(this.#window.values(), (waiting) => waiting.item);
    if (!skip) return all();
    if (skip !== this.#sender) this.#unsent = all();
    this.#sender = skip;
    this.#unsent = this.#unsent.filter(({ sequence }) =>
      this.#window.has(sequence - SEQUENCE_BASE) && !skip(sequence)
    );
    return this.#unsent;
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
    const waiting = this.#window.get(id);
    if (!waiting) return;
    if (waiting.replay) this.#replaying--;
    this.#windowBytes -= waiting.item.body.byteLength;
    this.#window.delete(id);
  }

  /** Room for further records, by number and by bytes. */
  get #room(): number {
    const hasBytes = this.#windowBytes < this.#options.windowBytesMax || this.#window.size === 0;
    return hasBytes ? this.#windowMax - this.#window.size : 0;
  }

  #fillLive(): void {
    const { store, stream, uniqueKeys } = this.#options;
    if (!uniqueKeys) return;
    const oldestMs = store.bulk.upMs() - LIVE_MS;
    const stale = this.#live.findIndex((live) => live.upMs >= oldestMs && live.id > this.#cursor);
    this.#live = stale < 0 ? [] : this.#live.slice(stale);
    const room = this.#room;
    const first = this.#live[0];
    if (!first || room <= 0) return;
    const limit = Math.min(room, this.#live.length, AHEAD_ROWS);
    const range = { after: first.id - 1, limit, bytesMax: AHEAD_BYTES };
    const records = store.bulk.readEncoded(stream, range);
    for (const record of records) this.#enter(record, false);
    const last = records.at(-1)?.id ?? Infinity;
    this.#live = this.#live.filter((live) => live.id > last);
  }

  #fillReplay(): void {
    const { clock } = this.#options;
    this.throttled = false;
    for (;;) {
      const room = Math.min(this.#room, this.#replayMax - this.#replaying);
      if (room <= 0) return;
      if (this.#ahead.length === 0 && !this.#readAhead()) return;
      const wanted = this.#within(Math.min(room, this.#ahead.length));
      if (wanted === 0) return;
      const taken = this.#pacer.take(wanted, clock.monotonicMs());
      for (const record of this.#ahead.splice(0, taken)) {
        this.#aheadIds.delete(record.id);
        this.#enter(record, true);
      }
      this.throttled = taken < wanted;
      if (this.throttled) return;
    }
  }

  /** How many of the next `count` read ahead fit into the bytes on their way; one always does. */
  #within(count: number): number {
    let bytes = this.#windowBytes;
    for (let i = 0; i < count; i++) {
      bytes += this.#ahead[i]!.value.byteLength; // there are as many
      if (bytes > this.#options.windowBytesMax) return this.#window.size === 0 ? Math.max(1, i) : i;
    }
    return count;
  }

  #readAhead(): boolean {
    const { store, stream } = this.#options;
    for (;;) {
      const range = { after: this.#cursor, limit: AHEAD_ROWS, bytesMax: AHEAD_BYTES };
      const records = store.bulk.readEncoded(stream, range);
      const last = records.at(-1);
      if (!last) return false;
      this.#cursor = last.id;
      // those that went out as live are on their way already
      this.#ahead = records.filter((record) => !this.#window.has(record.id));
      for (const { id } of this.#ahead) this.#aheadIds.add(id);
      if (this.#ahead.length > 0) return true;
    }
  }

  #enter({ id, key, value }: BulkRecord<Encoded>, replay: boolean): void {
    if (this.#window.has(id)) return;
    const { lane, uniqueKeys } = this.#options;
    const name = uniqueKeys ? `${key}@${id}` : key;
    const item = new StoredItem(BulkLane.sequenceOf(id), lane, name, value);
    this.#window.set(id, { item, replay });
    this.#unsent.push(item);
    this.#windowBytes += value.byteLength;
    if (replay) this.#replaying++;
  }
}

function shareOf(itemsMax: number, share: number): number {
  return Math.max(1, Math.floor(itemsMax * share));
}
