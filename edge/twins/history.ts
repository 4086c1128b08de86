/**
 * The past of twins: every change, on disk in the store's bulk view, bounded by bytes, rows and
 * age; read by time, thinned by step, and as it was at a moment. Reading takes a slice at a time
 * and lets others go first, so that a long look holds up nobody. Stamps made before the node knew
 * the time are put right as they are read.
 */
import { type Clock, nextTurn } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { BulkRecord, Store } from "../../shared/store/port.ts";
import { HistoryIndex, type HistoryLimits, PART_ROWS } from "./history_index.ts";
import { type HistoryRow, historyStreams, streamOf } from "./history_rows.ts";
import { HistoryStamps } from "./history_stamps.ts";
import type { IndexPart } from "./index_rows.ts";
import type { DesiredSource } from "./model.ts";
import type { HistorySize, TwinView } from "./port.ts";
import { type Aggregate, Steps } from "./steps.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** Of all streams together: a month of ten thousand changes an hour. */
export const TWIN_HISTORY_LIMITS: HistoryLimits = {
  ttlMs: 30 * DAY_MS,
  rowsMax: 4_000_000,
  bytesMax: 256 * 1024 * 1024,
};

const SLICE_ROWS = 500;
/** Single records read in one go. */
const SLICE_LOOKS = 64;
/** Reading one record by its id costs as much as so many in a row. */
const SCAN_FACTOR = 4;
const POINTS_MAX = 1_000;

export interface HistoryQuestion {
  property?: string;
  kind?: HistoryPoint["kind"];
  /** From this stamp on. */
  fromMs?: number;
  /** Before this stamp. */
  toMs?: number;
  /** One answer per so much time and property, of what was reported. */
  stepMs?: number;
  /** With a step; all that fit when left out. */
  aggregates?: readonly Aggregate[];
  /** `next` of the page before. */
  after?: number;
  /** At most 1 000, which is also what is taken without. */
  limit?: number;
}

export interface HistoryPoint {
  kind: "reported" | "desired" | "state" | "added" | "removed";
  atMs: number;
  property?: string;
  /** Null: nothing is desired any more. */
  value?: string | null;
  version?: number;
  source?: DesiredSource;
  metadata?: Record<string, string>;
}

export interface StepPoint {
  kind: "step";
  /** Begin of the step. */
  atMs: number;
  property: string;
  count: number;
  min?: number;
  max?: number;
  avg?: number;
  last?: string;
}

export interface HistoryAnswer {
  points: (HistoryPoint | StepPoint)[];
  /** There is more: `after` (or `fromMs`, with a step) of the next page. */
  next?: number;
}

export interface HistoryAt {
  property: string;
  desired?: { value: string; atMs: number; version: number };
  reported?: { value: string; atMs: number; version: number };
  /** False: what was then is older than the history. */
  known: boolean;
}

type Range = Pick<HistoryQuestion, "after" | "fromMs" | "toMs">;

interface Recorded {
  id: number;
  atMs: number;
  rows: readonly HistoryRow[];
}

export interface TwinHistoryOptions {
  store: Store;
  clock: Clock;
  /** True while the disk is to be spared. */
  sparing?: () => boolean;
  limits?: HistoryLimits;
}

export class TwinHistory {
  readonly stamps: HistoryStamps;
  readonly #store: Store;
  readonly #index: HistoryIndex;
  readonly #sparing: () => boolean;
  readonly #limits: HistoryLimits;
  #refused = 0;

  constructor(
    { store, clock, sparing = () => false, limits = TWIN_HISTORY_LIMITS }: TwinHistoryOptions,
  ) {
    this.#store = store;
    this.#index = new HistoryIndex(store, clock, limits);
    this.#sparing = sparing;
    this.#limits = limits;
    this.stamps = new HistoryStamps(store, clock);
    const streams = historyStreams();
    for (const stream of streams) {
      store.bulk.declare(stream, {
        ttlMs: limits.ttlMs,
        rowsMax: Math.ceil(limits.rowsMax / streams.length),
        bytesMax: Math.ceil(limits.bytesMax / streams.length),
      });
    }
  }

  /** Records that were not written because the bulk file takes nothing. */
  get refused(): number {
    return this.#refused;
  }

  size(): HistorySize {
    const { ttlMs, rowsMax, bytesMax } = this.#limits;
    const size = { rows: 0, bytes: 0, rowsMax, bytesMax, daysMax: ttlMs / DAY_MS };
    const dropped: Record<string, number> = {};
    for (const stream of historyStreams()) {
      const stats = this.#store.bulk.stats(stream);
      size.rows += stats.rows;
      size.bytes += stats.bytes;
      for (const [reason, count] of Object.entries(stats.dropped)) {
        dropped[reason] = (dropped[reason] ?? 0) + count;
      }
    }
    return { ...size, dropped };
  }

  /** A record of a device is on disk. */
  added(device: string): void {
    this.#index.added(streamOf(device));
  }

  /** What of a stream should be indexed by now is, from here on. */
  index(stream: string): void {
    this.#index.catchUp(stream);
  }

  /** Resolves when the index is as far as it will come by itself. */
  async settled(): Promise<void> {
    await this.#index.settled();
  }

  /** False while the bulk file has a problem or is spared: twins go on without their past. */
  accepts(): boolean {
    if (this.#store.bulk.problem === undefined && !this.#sparing()) return true;
    this.#refused++;
    return false;
  }

  async ask(device: string, question: HistoryQuestion): Promise<HistoryAnswer> {
    const { fromMs, toMs } = question;
    if (fromMs !== undefined && toMs !== undefined && fromMs >= toMs) {
      throw new AppError("invalid", "Cannot read the history: from must be before to");
    }
    return question.stepMs === undefined
      ? await this.#page(device, question)
      : await this.#steps(device, question, question.stepMs);
  }

  /** What was desired and reported at a moment. */
  async at(device: string, now: readonly TwinView[], timeMs: number): Promise<HistoryAt[]> {
    const found = new Map<string, HistoryAt>();
    const open = now.filter(({ desired, reported }) =>
      (desired?.atMs ?? 0) > timeMs || (reported?.atMs ?? 0) > timeMs
    );
    let begun = false;
    if (open.length > 0) {
      for await (const { atMs, rows } of this.#records(device, { toMs: timeMs + 1 })) {
        for (const row of rows) begun = applyAt(found, row, atMs) || begun;
      }
    }
    return now.map((view) => {
      if (!open.includes(view)) return currentOf(view);
      return found.get(view.property) ?? { property: view.property, known: begun };
    });
  }

  async #page(device: string, question: HistoryQuestion): Promise<HistoryAnswer> {
    const { property, kind, after } = question;
    const limit = Math.min(question.limit ?? POINTS_MAX, POINTS_MAX);
    const points: HistoryPoint[] = [];
    let last = after;
    for await (const { id, atMs, rows } of this.#records(device, question)) {
      if (points.length >= limit) return { points, ...(last === undefined ? {} : { next: last }) };
      for (const row of rows) {
        const point = toPoint(row, atMs);
        if (property !== undefined && point.property !== property) continue;
        if (kind !== undefined && point.kind !== kind) continue;
        points.push(point);
      }
      last = id;
    }
    return { points };
  }

  async #steps(device: string, question: HistoryQuestion, stepMs: number): Promise<HistoryAnswer> {
    const { property, aggregates } = question;
    const limit = Math.min(question.limit ?? POINTS_MAX, POINTS_MAX);
    const steps = new Steps(stepMs, aggregates);
    for await (const { atMs, rows } of this.#records(device, question)) {
      for (const row of rows) {
        if (row[0] !== 0 || (property !== undefined && row[1] !== property)) continue;
        steps.add(row[1], row[2], atMs);
      }
      if (steps.size > limit) break;
    }
    return steps.answer(limit);
  }

  /** Of one device, in the order they happened. */
  async *#records(device: string, question: Range): AsyncGenerator<Recorded> {
    const stream = streamOf(device);
    let at = question.after ?? -1;
    for (const part of this.#index.parts(stream, at)) {
      // what lies before it was never indexed, or no more
      if (part.from - 1 > at) yield* this.#scan(device, question, at, part.from);
      at = Math.max(at, part.from - 1);
      if (this.#isIn(part, question)) yield* this.#lookUp(device, question, at, part);
      at = part.to;
      await nextTurn();
    }
    yield* this.#scan(device, question, at, Infinity);
  }

  /** False when no record of the part was then. Stamps put right later are not in the index. */
  #isIn({ minAtMs, maxAtMs }: IndexPart, { fromMs = -Infinity, toMs = Infinity }: Range): boolean {
    return !this.stamps.isPlain || (maxAtMs >= fromMs && minAtMs < toMs);
  }

  async *#lookUp(
    device: string,
    question: Range,
    after: number,
    part: IndexPart,
  ): AsyncGenerator<Recorded> {
    const ids = part.of(device).filter((id) => id > after);
    if (ids.length * SCAN_FACTOR > part.rows) {
      return yield* this.#scan(device, question, after, part.to + 1);
    }
    let looks = 0;
    for (const id of ids) {
      const [record] = this.#store.bulk.read<HistoryRow[]>(streamOf(device), {
        after: id - 1,
        limit: 1,
      });
      const found = record?.id === id && this.#recorded(device, question, record);
      if (found) yield found;
      if (++looks % SLICE_LOOKS === 0) await nextTurn();
    }
  }

  /** Every record between two ids, both left out. */
  async *#scan(
    device: string,
    question: Range,
    after: number,
    before: number,
  ): AsyncGenerator<Recorded> {
    const stream = streamOf(device);
    let rows = 0;
    let limit = before === Infinity ? SLICE_ROWS : 1; // between two parts there is nothing
    for (let at = after;;) {
      // by time only here: looking for a far time would hold up everything
      const slice = this.#store.bulk.read<HistoryRow[]>(stream, { after: at, limit });
      for (const record of slice) {
        at = record.id;
        if (at >= before) return;
        const found = this.#recorded(device, question, record);
        if (found) yield found;
      }
      rows += slice.length;
      if (slice.length < limit) break;
      limit = SLICE_ROWS;
      await nextTurn();
    }
    if (rows >= PART_ROWS && before === Infinity) this.#index.catchUp(stream);
  }

  #recorded(
    device: string,
    { fromMs = -Infinity, toMs = Infinity }: Range,
    { id, key, upMs, atMs: stamped, value }: BulkRecord<HistoryRow[]>,
  ): Recorded | undefined {
    if (key !== device) return undefined;
    const atMs = this.stamps.correct(id, upMs, stamped);
    return atMs >= fromMs && atMs < toMs ? { id, atMs, rows: value } : undefined;
  }
}

function toPoint(row: HistoryRow, atMs: number): HistoryPoint {
  switch (row[0]) {
    case 0:
      return {
        kind: "reported",
        atMs,
        property: row[1],
        value: row[2],
        version: row[3],
        ...(row[4] ? { metadata: row[4] } : {}),
      };
    case 1:
      return {
        kind: "desired",
        atMs,
        property: row[1],
        value: row[2],
        version: row[3],
        source: row[4] === 1 ? "site" : "cloud",
      };
    case 2:
      return { kind: "state", atMs, value: row[1] };
    case 3:
      return { kind: "added", atMs, value: row[1] };
    case 4:
      return { kind: "removed", atMs };
  }
}

/** True when from here on all is known, because the device began. */
function applyAt(found: Map<string, HistoryAt>, row: HistoryRow, atMs: number): boolean {
  if (row[0] === 3 || row[0] === 4) {
    found.clear();
    return true;
  }
  if (row[0] === 2) return false;
  const [kind, property, value, version] = row;
  const { desired: _, ...before } = found.get(property) ?? { property, known: true };
  const desired = kind === 1
    ? (value === null ? undefined : { value, atMs, version })
    : found.get(property)?.desired;
  found.set(property, {
    ...before,
    ...(desired ? { desired } : {}),
    ...(kind === 0 && value !== null ? { reported: { value, atMs, version } } : {}),
  });
  return false;
}

function currentOf({ property, desired, reported }: TwinView): HistoryAt {
  const said = ({ value, atMs, version }: NonNullable<HistoryAt["reported"]>) => ({
    value,
    atMs,
    version,
  });
  return {
    property,
    ...(desired ? { desired: said(desired) } : {}),
    ...(reported ? { reported: said(reported) } : {}),
    known: true,
  };
}
