/**
 * What happened on this node: statuses and ends of pods, events, the link's ups and downs, and in
 * time changes of twins. On disk in the store's bulk view, bounded by rows, bytes and age; read by
 * time range. Recording never fails what it tells of: what cannot be written is counted.
 */
import type { Changes } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { BulkRecord, Store } from "../../shared/store/port.ts";
import { STREAM } from "./buckets.ts";
import { HistoryTime } from "./history_time.ts";
import type {
  History,
  HistoryEntry,
  HistoryKind,
  HistoryPage,
  HistoryQuery,
  HistoryRow,
  HistoryStats,
} from "./port.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** A month of a busy node. */
export const HISTORY_LIMITS = {
  ttlMs: 30 * DAY_MS,
  rowsMax: 200_000,
  bytesMax: 64 * 1024 * 1024,
} as const;
/** Rows of one answer. */
const ROWS_MAX = 1_000;
/** Rows looked at for one answer, when only some are of the kind or subject asked for. */
const LOOKED_AT_MAX = 20_000;
const SLICE_ROWS = 500;
/** While the disk is spared: at most one entry in this time of one kind about one subject. */
const SPARING_MS = 10 * 60_000;
const SPARING_SUBJECTS_MAX = 1_000;
/** Written all the same: few, and what they tell is told nowhere else. */
const NEVER_SPARED: readonly HistoryKind[] = ["link", "pod_gone"];
/** Entries on their way to the disk; beyond it they are counted as refused. */
const WAITING_MAX = 1_000;

const log = roomLogger("edge", "meta");

/** An entry as it lies in its record. */
type Stored = Omit<HistoryEntry, "subject">;

export interface HistoryOptions {
  store: Store;
  clock: Clock;
  limits?: { ttlMs: number; rowsMax: number; bytesMax: number };
  /** True while the daily budget of disk writes is used up: then history is coarser. */
  sparing?: () => boolean;
}

export class DurableHistory implements History {
  readonly time: HistoryTime;
  readonly #store: Store;
  readonly #clock: Clock;
  #waiting = 0;
  readonly #sparing: () => boolean;
  /** While sparing: when each kind and subject was last written. */
  readonly #lastMs = new Map<string, number>();
  #refused = 0;
  #spared = 0;

  constructor({ store, clock, limits = HISTORY_LIMITS, sparing }: HistoryOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#sparing = sparing ?? (() => false);
    this.time = new HistoryTime({ store, clock });
    store.bulk.declare(STREAM.history, { ...limits });
  }

  async record(entry: HistoryEntry): Promise<void> {
    if (this.#isSpared(entry)) {
      this.#spared++;
      return;
    }
    if (this.#waiting >= WAITING_MAX) {
      this.#refused++;
      return;
    }
    this.#waiting++;
    try {
      const { subject: key, ...value } = entry;
      const atMs = this.#clock.nowMs();
      await this.#store.commit([{ op: "append", stream: STREAM.history, key, value, atMs }]);
    } catch (error) {
      this.#refused++;
      log.debug("History not written", { error: errorChain(error) });
    } finally {
      this.#waiting--;
    }
  }

  query(query: HistoryQuery): HistoryPage {
    const wanted = Math.max(1, Math.min(query.limit ?? ROWS_MAX, ROWS_MAX));
    // the store knows the stamps as they were taken
    const { fromMs, toMs } = this.time.hasCorrections ? {} : query;
    const range = {
      limit: SLICE_ROWS,
      ...(fromMs === undefined ? {} : { fromMs }),
      ...(toMs === undefined ? {} : { toMs }),
    };
    const rows: HistoryRow[] = [];
    let after = query.after ?? -1;
    for (let looked = 0; looked < LOOKED_AT_MAX; looked += SLICE_ROWS) {
      const slice = this.#store.bulk.read<Stored>(STREAM.history, { ...range, after });
      for (const record of slice) {
        if (rows.length === wanted) return { rows, next: after };
        after = record.id;
        const row = this.#toRow(record);
        if (matches(row, query)) rows.push(row);
      }
      if (slice.length < SLICE_ROWS) return { rows };
    }
    return { rows, next: after };
  }

  #toRow({ id, key: subject, atMs, upMs, value }: BulkRecord<Stored>): HistoryRow {
    const correctedMs = this.time.corrected(upMs);
    return correctedMs === undefined
      ? { id, atMs, subject, ...value }
      : { id, atMs: correctedMs, recordedAtMs: atMs, subject, ...value };
  }

  stats(): HistoryStats {
    const { rows, bytes, dropped } = this.#store.bulk.stats(STREAM.history);
    const refused = this.#refused > 0 ? { refused: this.#refused } : {};
    const spared = this.#spared > 0 ? { spared: this.#spared } : {};
    return { rows, bytes, dropped: { ...dropped, ...refused, ...spared } };
  }

  #isSpared({ kind, subject }: HistoryEntry): boolean {
    if (!this.#sparing()) {
      this.#lastMs.clear();
      return false;
    }
    if (NEVER_SPARED.includes(kind)) return false;
    const key = `${kind} ${subject}`;
    const nowMs = this.#clock.monotonicMs();
    const lastMs = this.#lastMs.get(key);
    if (lastMs !== undefined && nowMs - lastMs < SPARING_MS) return true;
    if (this.#lastMs.size >= SPARING_SUBJECTS_MAX) this.#lastMs.clear();
    this.#lastMs.set(key, nowMs);
    return false;
  }
}

function matches(row: HistoryRow, { fromMs, toMs, kind, subject }: HistoryQuery): boolean {
  return (fromMs === undefined || row.atMs >= fromMs) && (toMs === undefined || row.atMs < toMs) &&
    (kind === undefined || row.kind === kind) && (subject === undefined || row.subject === subject);
}

/** Records each new state of the link, until `signal` aborts. */
export function recordLink(
  history: History,
  link: { changes: Changes; status: () => { state: string; address?: string; lastError?: string } },
): () => void {
  let last = "";
  const look = () => {
    const { state, address, lastError } = link.status();
    if (state === last || (state !== "live" && last !== "live")) return;
    last = state;
    const detail = {
      ...(address === undefined ? {} : { address }),
      ...(lastError === undefined ? {} : { error: lastError }),
    };
    // `record` never rejects
    void history.record({ kind: "link", subject: "cloud", what: state, detail });
  };
  return link.changes.subscribe(look);
}
