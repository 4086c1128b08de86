/**
 * The lanes of the outbox in which the latest per key is what counts: `control` and `status`. In
 * present state; a small index lives in memory, the reports in the store. Sequences rise over
 * restarts and are never used twice: they are reserved in blocks, so that a put writes one row and
 * rarely two. When full, new keys are refused with `exhausted`: they are pods and the node, so full
 * means a bug or an attack. Events that an earlier version left here are still sent from here.
 */
import type { Clock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { Store, StoreOp } from "../../shared/store/port.ts";
import type { Report } from "../../shared/wire/report.ts";
import { BUCKET } from "./buckets.ts";
import type { OutboxItem } from "./port.ts";

/** Lanes of rows in present state. */
type LatestLane = "control" | "status" | "event";

/** Items per lane: pods and node with room to spare. */
const ITEMS_MAX = 10_000;

/** Sequences reserved by one write of the head row. */
const RESERVE = 1_000;

/** Skipped when the store lost something: more than an outbox can have used since its last row. */
const DAMAGE_JUMP = 1_000_000;

interface OutboxRow {
  sequence: number;
  lane: LatestLane;
  atMs: number;
  report: Report;
}

type Entry = Omit<OutboxRow, "report"> & { key: string };

interface HeadRow {
  reserved: number;
  dropped: Readonly<Record<string, number>>;
}

export class LatestLanes {
  readonly #store: Store;
  readonly #clock: Clock;
  /** Durable items, by sequence, oldest first, in each lane. */
  readonly #lanes: Record<LatestLane, Map<number, Entry>>;
  readonly #byKey = new Map<string, Entry>();
  /** Sequence of the latest put per key that is still on its way to the disk. */
  readonly #inFlight = new Map<string, number>();
  /** New items on their way to the disk, per lane. */
  readonly #arriving: Record<LatestLane, number> = { control: 0, status: 0, event: 0 };
  /** Counts of an earlier version, which kept events here. */
  readonly dropped: Readonly<Record<string, number>>;
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
    this.dropped = { ...head?.dropped };
  }

  depthOf(lane: LatestLane): number {
    return this.#lanes[lane].size;
  }

  /** True while a report of this key is on its way to the disk or not acknowledged. */
  holds(key: string): boolean {
    return this.#byKey.has(key) || this.#inFlight.has(key);
  }

  oldestAtMs(): number | undefined {
    let oldestMs: number | undefined;
    for (const { atMs } of this.#byKey.values()) {
      if (oldestMs === undefined || atMs < oldestMs) oldestMs = atMs;
    }
    return oldestMs;
  }

  /** Puts a report in one commit with `also`. */
  async put(
    lane: "control" | "status",
    key: string,
    report: Report,
    also: readonly StoreOp[],
  ): Promise<number> {
    this.#requireRoom(lane, key);
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
        ...this.#reserve(),
      ]);
    } catch (error) {
      // the block may not have been reserved: the next put tries again
      this.#reserved = Math.min(this.#reserved, sequence - 1);
      throw error;
    } finally {
      this.#arriving[lane]--;
      if (this.#inFlight.get(key) === sequence) this.#inFlight.delete(key);
    }
    this.#add(entry);
    return sequence;
  }

  /** Waiting items of a lane, oldest first. */
  pending(lane: LatestLane, afterSequence: number, limit: number): OutboxItem[] {
    const items: OutboxItem[] = [];
    for (const { sequence, key } of this.#lanes[lane].values()) {
      if (items.length >= limit) break;
      if (sequence <= afterSequence) continue;
      const row = this.#store.get<OutboxRow>(BUCKET.outbox, key);
      // a newer one is durable and about to enter the index: it will be found under its sequence
      if (row?.sequence === sequence) items.push({ sequence, lane, key, report: row.report });
    }
    return items;
  }

  /** What forgets those items, and what to call when that is durable. */
  acknowledgement(sequences: readonly number[]): { ops: StoreOp[]; done: () => void } {
    const acked = [...this.#entriesOf(new Set(sequences))]
      // one being replaced stays: the delete would hit its successor
      .filter((entry) => !this.#inFlight.has(entry.key));
    return {
      ops: acked.map(({ key }) => ({ op: "delete", bucket: BUCKET.outbox, key })),
      done: () => acked.forEach((entry) => this.#remove(entry)),
    };
  }

  *#entriesOf(sequences: ReadonlySet<number>): Generator<Entry> {
    for (const lane of ["control", "status", "event"] as const) {
      for (const sequence of sequences) {
        const entry = this.#lanes[lane].get(sequence);
        if (entry) yield entry;
      }
    }
  }

  #requireRoom(lane: LatestLane, key: string): void {
    const known = this.#byKey.get(key)?.lane === lane;
    // replacements on their way count as new, which errs on the safe side
    if (known || this.#lanes[lane].size + this.#arriving[lane] < ITEMS_MAX) return;
    throw new AppError(
      "exhausted",
      `Cannot report ${key}: waiting ${lane} reports must be <= ${ITEMS_MAX}`,
    );
  }

  /** The head row, when a block of sequences is used up. */
  #reserve(): StoreOp[] {
    if (this.#sequence <= this.#reserved) return [];
    this.#reserved = this.#sequence + RESERVE;
    const value: HeadRow = { reserved: this.#reserved, dropped: this.dropped };
    return [{ op: "put", bucket: BUCKET.outboxHead, key: "head", value }];
  }

  #add(entry: Entry): void {
    const before = this.#byKey.get(entry.key);
    if (before) this.#lanes[before.lane].delete(before.sequence);
    this.#byKey.set(entry.key, entry);
    this.#lanes[entry.lane].set(entry.sequence, entry);
  }

  #remove(entry: Entry): void {
    this.#lanes[entry.lane].delete(entry.sequence);
    if (this.#byKey.get(entry.key)?.sequence === entry.sequence) this.#byKey.delete(entry.key);
  }
}
