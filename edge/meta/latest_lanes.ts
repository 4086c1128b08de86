/**
 * The lanes of the outbox in which the latest per key is what counts: `control` and `status`. In
 * present state; a small index lives in memory, the reports in the store. Sequences rise over
 * restarts and are never used twice: they are reserved in blocks, so that a put writes one row and
 * rarely two. When full, new keys are refused with `exhausted`: their keys are pods and the node,
 * so full means a bug or an attack. Events that an earlier version left here are still sent from
 * here.
 *
 * A report in `status` may also be *made when it is sent* (devices: whole, and changed far more
 * often than it can be sent). Its row is a mark that there is news. A mark that stands covers later
 * changes: what changed after it was first handed out is marked again, under a new sequence, by the
 * commit that acknowledges it.
 */
import type { Clock } from "../../shared/clock.ts";
import { AppError, invariant } from "../../shared/errors.ts";
import type { Store, StoreOp } from "../../shared/store/port.ts";
import type { Report } from "../../shared/wire/report.ts";
import { BUCKET } from "./buckets.ts";
import type { OutboxItem, ReportMaker, Staged } from "./port.ts";

/** Lanes of rows in present state. */
type LatestLane = "control" | "status" | "event";

/** Items per lane: 10 000 devices, pods and node with room to spare. */
const ITEMS_MAX = 20_000;

/**
 * A report that is made when it is sent goes at once, and then at most this often per key: what
 * changes all the time costs the link and the cloud no more than that.
 */
const MARK_PACE_MS = 1_000;

/** Sequences reserved by one write of the head row. */
const RESERVE = 1_000;

/** Skipped when the store lost something: more than an outbox can have used since its last row. */
const DAMAGE_JUMP = 1_000_000;

interface OutboxRow {
  sequence: number;
  lane: LatestLane;
  atMs: number;
  /** Absent: a mark; the report is made when it is sent. */
  report?: Report;
}

interface Entry extends Omit<OutboxRow, "report"> {
  key: string;
  mark?: MarkState;
}

/** In memory only: after a restart a mark counts as handed out and changed since. */
interface MarkState {
  handedOut: boolean;
  changedSince: boolean;
  /** Changes on their way to the disk that count on this mark. */
  covering: number;
  /** The commit that forgets it is on its way. */
  leaving: boolean;
  /** Monotonic time before which it does not go. */
  dueMs: number;
}

const FRESH: MarkState = {
  handedOut: false,
  changedSince: false,
  covering: 0,
  leaving: false,
  dueMs: -Infinity,
};

const NOTHING_STAGED: Staged = { ops: [], done: () => {} };

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
  #maker: ReportMaker | undefined;
  /** Monotonic time of the last acknowledgement per mark's key; those of the last second. */
  readonly #toldMs = new Map<string, number>();
  /** Some mark was held back by its pace when `pending` looked last. */
  throttled = false;
  #sequence: number;
  #reserved: number;

  constructor(options: { store: Store; clock: Clock }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#lanes = { control: new Map(), status: new Map(), event: new Map() };
    const head = this.#store.get<HeadRow>(BUCKET.outboxHead, "head");
    const entries = this.#store.list<OutboxRow>(BUCKET.outbox)
      .map(({ key, value: { sequence, lane, atMs, report } }): Entry => ({
        key,
        sequence,
        lane,
        atMs,
        ...(report ? {} : { mark: { ...FRESH, handedOut: true, changedSince: true } }),
      }))
      .sort((a, b) => a.sequence - b.sequence);
    for (const entry of entries) this.#add(entry);
    this.#sequence = Math.max(head?.reserved ?? 0, entries.at(-1)?.sequence ?? 0);
    if (this.#store.recovery.damage.length > 0) this.#sequence += DAMAGE_JUMP;
    this.#reserved = this.#sequence;
    this.dropped = { ...head?.dropped };
  }

  /** What makes durable, after a loss, that the sequences skipped are not used again. */
  skipLost(): StoreOp {
    const head: HeadRow = { reserved: this.#reserved, dropped: this.dropped };
    return { op: "put", bucket: BUCKET.outboxHead, key: "head", value: head };
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
    const { sequence, ops, done } = this.stage(lane, key, report);
    let ok = false;
    try {
      await this.#store.commit([...also, ...ops]);
      ok = true;
    } finally {
      done(ok);
    }
    return sequence;
  }

  /** What puts a report, for a commit of the caller's; without one it is a mark. */
  stage(
    lane: "control" | "status",
    key: string,
    report: Report | undefined,
  ): Staged & { sequence: number } {
    this.#requireRoom(lane, key);
    this.#arriving[lane]++;
    const sequence = ++this.#sequence;
    const index = { sequence, lane, atMs: this.#clock.nowMs() };
    const row: OutboxRow = { ...index, ...(report ? { report } : {}) };
    this.#inFlight.set(key, sequence);
    const done = (ok: boolean) => {
      // the block may not have been reserved: the next put tries again
      if (!ok) this.#reserved = Math.min(this.#reserved, sequence - 1);
      this.#arriving[lane]--;
      if (this.#inFlight.get(key) === sequence) this.#inFlight.delete(key);
      if (ok) this.#add({ ...index, key, ...(report ? {} : { mark: this.#freshMark(key) }) });
    };
    const ops: StoreOp[] = [
      { op: "put", bucket: BUCKET.outbox, key, value: row },
      ...this.#reserve(),
    ];
    return { sequence, ops, done };
  }

  #freshMark(key: string): MarkState {
    const toldMs = this.#toldMs.get(key);
    return toldMs === undefined ? { ...FRESH } : { ...FRESH, dueMs: toldMs + MARK_PACE_MS };
  }

  #told(key: string): void {
    const nowMs = this.#clock.monotonicMs();
    this.#toldMs.delete(key); // to the end: the oldest are in front
    this.#toldMs.set(key, nowMs);
    for (const [oldest, toldMs] of this.#toldMs) {
      if (nowMs - toldMs < MARK_PACE_MS) break;
      this.#toldMs.delete(oldest);
    }
  }

  /** Who makes the reports of marks. */
  makeWith(maker: ReportMaker): void {
    this.#maker = maker;
  }

  /** What says that there is news of `key`, in a commit of the caller's; often nothing. */
  stageMark(key: string): Staged {
    const mark = this.#byKey.get(key)?.mark;
    if (!mark || mark.leaving || this.#inFlight.has(key)) {
      return this.stage("status", key, undefined);
    }
    mark.covering++;
    return {
      ops: [],
      done: (ok) => {
        mark.covering--;
        if (ok) mark.changedSince = true;
      },
    };
  }

  /** What takes a report back, in a commit of the caller's. */
  stageRemoval(key: string): Staged {
    const entry = this.#byKey.get(key);
    if (!entry) return NOTHING_STAGED;
    return {
      ops: [{ op: "delete", bucket: BUCKET.outbox, key }],
      done: (ok) => {
        if (ok && this.#byKey.get(key) === entry) this.#remove(entry);
      },
    };
  }

  /** Waiting items of a lane, oldest first. */
  pending(
    lane: LatestLane,
    limit: number,
    skip: (sequence: number) => boolean,
  ): OutboxItem[] {
    const items: OutboxItem[] = [];
    const nowMs = this.#clock.monotonicMs();
    if (lane === "status") this.throttled = false;
    for (const entry of this.#lanes[lane].values()) {
      const { sequence, key } = entry;
      if (items.length >= limit) break;
      if (skip(sequence)) continue;
      if (entry.mark) {
        if (entry.mark.dueMs > nowMs) this.throttled = true;
        else if (this.#maker?.has(key)) items.push(this.#marked(entry, entry.mark));
        continue;
      }
      const row = this.#store.get<OutboxRow>(BUCKET.outbox, key);
      // a newer one is durable and about to enter the index: it will be found under its sequence
      if (row?.sequence !== sequence || !row.report) continue;
      items.push({ sequence, lane, key, report: row.report });
    }
    return items;
  }

  /** Made when it is looked at: most callers only want to know which they have already. */
  #marked({ sequence, lane, key }: Entry, mark: MarkState): OutboxItem {
    const make = (): Report => {
      const report = this.#maker?.make(key);
      invariant(report, "a report is made in the turn it was offered in");
      if (!mark.handedOut) mark.changedSince = false;
      mark.handedOut = true;
      return report;
    };
    return {
      sequence,
      lane,
      key,
      get report() {
        return make();
      },
    };
  }

  /** What forgets those items, and what to call when that is durable, or has failed. */
  acknowledgement(sequences: readonly number[]): { ops: StoreOp[]; done: (ok: boolean) => void } {
    const acked = [...this.#entriesOf(new Set(sequences))]
      // one being replaced stays: the delete would hit its successor
      .filter((entry) => !this.#inFlight.has(entry.key));
    const renewed: Staged[] = [];
    const gone: Entry[] = [];
    for (const entry of acked) {
      const { mark, key } = entry;
      if (mark) this.#told(key);
      if (mark && (mark.changedSince || mark.covering > 0)) {
        renewed.push(this.stage("status", key, undefined));
        continue;
      }
      if (mark) mark.leaving = true;
      gone.push(entry);
    }
    const deletes = gone.map(({ key }): StoreOp => ({ op: "delete", bucket: BUCKET.outbox, key }));
    return {
      ops: [...deletes, ...renewed.flatMap((staged) => staged.ops)],
      done: (ok) => {
        for (const entry of gone) {
          if (ok) this.#remove(entry);
          else if (entry.mark) entry.mark.leaving = false;
        }
        for (const staged of renewed) staged.done(ok);
      },
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
