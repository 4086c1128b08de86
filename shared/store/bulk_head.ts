/**
 * Counts of the streams: what each holds and what became of the rest. Every record appended is
 * held, removed, or dropped for one reason. Pure, but for the rows a transaction gives up.
 */
import {
  BULK_FORMAT,
  type BulkHead,
  type BulkRow,
  type BulkTransaction,
  rowBytes,
  type StreamHead,
} from "./bulk_file.ts";
import type { StreamPolicy } from "./port.ts";

/** Rows dropped at most per transaction: a pause of some tens of milliseconds at worst. */
const DROPS_MAX = 5_000;
const SLICE_ROWS = 500;

export function emptyHead(): BulkHead {
  return { format: BULK_FORMAT, position: 0, upMs: 0, lostThrough: 0, streams: {} };
}

export function copyHead(head: BulkHead): BulkHead {
  return structuredClone(head);
}

/** The counts of `stream`, made where it is new. */
export function streamOf(head: BulkHead, stream: string): StreamHead {
  return head.streams[stream] ??= {
    number: Object.keys(head.streams).length + 1,
    rows: 0,
    bytes: 0,
    sum: 0,
    appended: 0,
    removed: 0,
    dropped: {},
  };
}

export function countDrop(stream: StreamHead, reason: string, rows = 1): void {
  stream.dropped[reason] = (stream.dropped[reason] ?? 0) + rows;
}

/** The file is gone: so is what it held. */
export function loseAll(head: BulkHead): void {
  for (const stream of Object.values(head.streams)) {
    if (stream.rows > 0) countDrop(stream, "lost", stream.rows);
    stream.rows = 0;
    stream.bytes = 0;
    stream.sum = 0;
  }
  head.lostThrough = head.position;
}

export function addRow(head: StreamHead, tx: BulkTransaction, row: BulkRow): void {
  head.sum = (head.sum ^ tx.insert(head.number, row)) >>> 0;
  head.rows++;
  head.bytes += rowBytes(row);
}

/** Removes what there is of a range of ids; says how many rows went. */
export function removeRows(
  head: StreamHead,
  tx: BulkTransaction,
  from: number,
  to: number,
): number {
  const gone = tx.remove(head.number, from, to);
  for (const { bytes, crc } of gone) {
    head.sum = (head.sum ^ crc) >>> 0;
    head.rows--;
    head.bytes -= bytes;
  }
  return gone.length;
}

/** Takes back from `lost` what was saved. */
export function restore(head: StreamHead, tx: BulkTransaction, rows: readonly BulkRow[]): void {
  for (const row of rows) {
    addRow(head, tx, row);
  }
  countDrop(head, "lost", -rows.length);
  if (head.dropped.lost === 0) delete head.dropped.lost;
}

/** Drops the oldest rows that are over age or quota. */
export function addDrops(
  head: StreamHead,
  tx: BulkTransaction,
  policy: StreamPolicy,
  upMs: number,
): void {
  let dropped = 0;
  let limit = 1; // as a rule the first is young enough, in each of many streams
  for (let after = -1; dropped < DROPS_MAX;) {
    if (head.rows === 0) return;
    const slice = tx.oldest(head.number, after, limit);
    for (const { id, upMs: bornMs } of slice) {
      after = id;
      const reason = upMs - bornMs > policy.ttlMs
        ? "expired"
        : head.rows > policy.rowsMax || head.bytes > policy.bytesMax
        ? "quota"
        : undefined;
      if (reason === undefined) return;
      if (policy.keep?.(id)) continue;
      if (removeRows(head, tx, id, id) === 0) continue;
      countDrop(head, reason);
      dropped++;
    }
    if (slice.length < limit) return;
    limit = SLICE_ROWS;
  }
}
