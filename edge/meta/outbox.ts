/**
 * Reports the cloud has not acknowledged, on disk, latest wins per key. A small index lives in
 * memory, the reports in the store. Sequences rise over restarts and are never used twice: they are
 * reserved in blocks, so that a put writes one row and rarely two.
 *
 * Bounds: `control` and `status` refuse new keys with `exhausted` when full (their keys are pods
 * and the node, so full means a bug or an attack); `event` drops its oldest and counts it.
 */
import { Changes } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { Store, StoreOp } from "../../shared/store/port.ts";
import type { Report } from "../../shared/wire/report.ts";
import { BUCKET } from "./buckets.ts";
import type { Outbox, OutboxItem, OutboxLane, OutboxStats } from "./port.ts";

const LANES: readonly OutboxLane[] = ["control", "status", "event"];

/** Items per lane: pods and node with room to spare; events as many as the local log keeps. */
export const OUTBOX_ITEMS_MAX: Readonly<Record<OutboxLane, number>> = {
  control: 10_000,
  status: 10_000,
  event: 1_000,
};

/** Sequences reserved by one write of the head row. */
const RESERVE = 1_000;

/** Skipped when the store lost something: more than an outbox can have used since its last row. */
const DAMAGE_JUMP = 1_000_000;

interface OutboxRow {
  sequence: number;
  lane: OutboxLane;
  atMs: number;
  report: Report;
}

type Entry = Omit<OutboxRow, "report"> & { key: string };

interface HeadRow {
  reserved: number;
  dropped: Record<string, number>;
}

export class DurableOutbox implements Outbox {
  readonly changes = new Changes();
  readonly #store: Store;
  readonly #clock: Clock;
  /** Durable items, by sequence, oldest first, in each lane. */
  readonly #lanes: Record<OutboxLane, Map<number, Entry>>;
  readonly #byKey = new Map<string, Entry>();
  /** Sequence of the latest put per key that is still on its way to the disk. */
  readonly #inFlight = new Map<string, number>();
  /** Keys whose drop is on its way to the disk. */
  readonly #dropping = new Set<string>();
  /** New items on their way to the disk, per lane. */
  readonly #arriving: Record<OutboxLane, number> = { control: 0, status: 0, event: 0 };
  readonly #dropped: Record<string, number>;
  #sequence: number;
  #reserved: number;

  constructor(options: { store: Store; clock: Clock }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#lanes = { control: new Map(), status: new Map(), event: new Map() };
    const head = this.#store.get<HeadRow>(BUCKET.outboxHead, "head");
    const entries = this.#store.list<OutboxRow>(BUCKET.outbox)
      .map(({ key, value: { sequence, lane, atMs } }) => ({ key, sequence, lane, atMs }))
      .sort((a, b) => a.sequence - b.sequence);
    for (const entry of entries) this.#add(entry);
    this.#sequence = Math.max(head?.reserved ?? 0, entries.at(-1)?.sequence ?? 0);
    if (this.#store.recovery.damage.length > 0) this.#sequence += DAMAGE_JUMP;
    this.#reserved = this.#sequence;
    this.#dropped = { ...head?.dropped };
  }

  put(lane: OutboxLane, key: string, report: Report): Promise<number> {
    return this.putWith(lane, key, report, []);
  }

  /** `put` in one commit with `also`. */
  async putWith(
    lane: OutboxLane,
    key: string,
    report: Report,
    also: readonly StoreOp[],
  ): Promise<number> {
    const victim = this.#makeRoom(lane, key);
    this.#arriving[lane]++;
    const sequence = ++this.#sequence;
    const entry: Entry = { key, sequence, lane, atMs: this.#clock.nowMs() };
    const { key: _, ...index } = entry;
    const row: OutboxRow = { ...index, report };
    this.#inFlight.set(key, sequence);
    try {
      await this.#store.commit([
        ...also,
        { op: "put", bucket: BUCKET.outbox, key, value: row },
        ...this.#drop(victim),
        ...this.#reserve(victim !== undefined),
      ]);
    } catch (error) {
      this.#undoDrop(victim);
      // the block may not have been reserved: the next put tries again
      this.#reserved = Math.min(this.#reserved, sequence - 1);
      throw error;
    } finally {
      this.#arriving[lane]--;
      if (this.#inFlight.get(key) === sequence) this.#inFlight.delete(key);
    }
    if (victim) this.#remove(victim);
    this.#add(entry);
    this.changes.notify();
    return sequence;
  }

  pending(afterSequence: number, limit: number): OutboxItem[] {
    const items: OutboxItem[] = [];
    for (const lane of LANES) {
      for (const { sequence, key } of this.#lanes[lane].values()) {
        if (items.length >= limit) return items;
        if (sequence <= afterSequence) continue;
        const row = this.#store.get<OutboxRow>(BUCKET.outbox, key);
        // a newer one is durable and about to enter the index: it will be found under its sequence
        if (row?.sequence === sequence) items.push({ sequence, lane, key, report: row.report });
      }
    }
    return items;
  }

  async acknowledge(sequences: readonly number[]): Promise<void> {
    const wanted = new Set(sequences);
    const acked = [...this.#entriesOf(wanted)]
      // one being replaced stays: the delete would hit its successor
      .filter((entry) => !this.#inFlight.has(entry.key));
    if (acked.length === 0) return;
    await this.#store.commit(
      acked.map(({ key }) => ({ op: "delete", bucket: BUCKET.outbox, key })),
    );
    for (const entry of acked) this.#remove(entry);
    this.changes.notify();
  }

  holds(key: string): boolean {
    return this.#byKey.has(key) || this.#inFlight.has(key);
  }

  stats(): OutboxStats {
    let oldestAtMs: number | undefined;
    for (const { atMs } of this.#byKey.values()) {
      if (oldestAtMs === undefined || atMs < oldestAtMs) oldestAtMs = atMs;
    }
    return { depth: this.#byKey.size, oldestAtMs, dropped: { ...this.#dropped } };
  }

  *#entriesOf(sequences: ReadonlySet<number>): Generator<Entry> {
    for (const lane of LANES) {
      for (const sequence of sequences) {
        const entry = this.#lanes[lane].get(sequence);
        if (entry) yield entry;
      }
    }
  }

  /** The item that must go so that `key` fits; undefined when there is room. */
  #makeRoom(lane: OutboxLane, key: string): Entry | undefined {
    const items = this.#lanes[lane];
    const known = this.#byKey.get(key)?.lane === lane;
    // only events are ever dropped; replacements on their way count as new, which errs on the safe
    // side
    const dropping = lane === "event" ? this.#dropping.size : 0;
    const size = items.size + this.#arriving[lane] - dropping;
    if (known || size < OUTBOX_ITEMS_MAX[lane]) return undefined;
    if (lane !== "event") {
      throw new AppError(
        "exhausted",
        `Cannot report ${key}: waiting ${lane} reports must be <= ${OUTBOX_ITEMS_MAX[lane]}`,
      );
    }
    for (const entry of items.values()) {
      if (!this.#dropping.has(entry.key) && !this.#inFlight.has(entry.key)) return entry;
    }
    return undefined;
  }

  #drop(victim: Entry | undefined): StoreOp[] {
    if (!victim) return [];
    this.#dropping.add(victim.key);
    this.#dropped.event_quota = (this.#dropped.event_quota ?? 0) + 1;
    return [{ op: "delete", bucket: BUCKET.outbox, key: victim.key }];
  }

  #undoDrop(victim: Entry | undefined): void {
    if (!victim) return;
    this.#dropping.delete(victim.key);
    this.#dropped.event_quota = (this.#dropped.event_quota ?? 1) - 1;
  }

  /** The head row, when a block of sequences is used up or a drop must be counted. */
  #reserve(counted: boolean): StoreOp[] {
    if (this.#sequence > this.#reserved) this.#reserved = this.#sequence + RESERVE;
    else if (!counted) return [];
    const value: HeadRow = { reserved: this.#reserved, dropped: this.#dropped };
    return [{ op: "put", bucket: BUCKET.outboxHead, key: "head", value }];
  }

  #add(entry: Entry): void {
    const before = this.#byKey.get(entry.key);
    if (before) this.#lanes[before.lane].delete(before.sequence);
    this.#byKey.set(entry.key, entry);
    this.#lanes[entry.lane].set(entry.sequence, entry);
  }

  #remove(entry: Entry): void {
    this.#dropping.delete(entry.key);
    this.#lanes[entry.lane].delete(entry.sequence);
    if (this.#byKey.get(entry.key)?.sequence === entry.sequence) this.#byKey.delete(entry.key);
  }
}
