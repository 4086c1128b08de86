/**
 * What the bulk view needs of the file behind it: rows by stream and id, changed in transactions
 * that carry the head with them, and a way to make durable what was changed so far. Adapters:
 * `native_bulk.ts` (SQLite on disk) and `sim_bulk.ts` (the same SQL over a simulated disk). Errors:
 * `exhausted` (disk full), `internal` (damaged: set it aside), `unavailable` (anything else).
 */
export interface BulkRow {
  id: number;
  atMs: number;
  upMs: number;
  key: string;
  value: Uint8Array<ArrayBuffer>;
}

/** What is known of a stream without reading it. */
export interface StreamHead {
  /** Number of the stream in the file. */
  number: number;
  rows: number;
  bytes: number;
  /** Exclusive or of the rows' checksums: a row that comes or goes by damage shows. */
  sum: number;
  appended: number;
  removed: number;
  dropped: Record<string, number>;
}

export const BULK_FORMAT = 1;

export interface BulkHead {
  format: number;
  /** Every op on streams up to this sequence is in the file. */
  position: number;
  /** Operating time when it was written. */
  upMs: number;
  /** Records up to this sequence went with an earlier file. */
  lostThrough: number;
  streams: Record<string, StreamHead>;
}

export interface RowRange {
  stream: number;
  after: number;
  fromMs: number;
  toMs: number;
  newestFirst: boolean;
  limit: number;
}

export interface BulkTransaction {
  /** Returns the row's checksum. */
  insert(stream: number, row: BulkRow): number;
  /** Removes what there is of a range of ids; size and checksum of each row that went. */
  remove(stream: number, from: number, to: number): { bytes: number; crc: number }[];
  /** The oldest rows with an id above `after`, without their values. */
  oldest(stream: number, after: number, limit: number): RowFacts[];
}

export interface RowFacts {
  id: number;
  bytes: number;
  atMs: number;
  upMs: number;
}

export interface BulkFile {
  /** As last written; undefined in a new file. */
  readonly head: BulkHead | undefined;
  readonly bytesWritten: number;
  /** True while a checkpoint is made durable: no transaction may begin. */
  readonly busy: boolean;
  /** True when enough was written that `sync` should be called to fold it in. */
  readonly wantsSync: boolean;
  /** Runs `work` and writes the head it returns, all or nothing. */
  transact(work: (tx: BulkTransaction) => BulkHead): void;
  /** Rows in order; `damaged` are ids whose rows fail their checksum; `sum` is over the rows. */
  rows(range: RowRange): { rows: BulkRow[]; damaged: number[]; sum: number };
  oldest(stream: number, after: number, limit: number): RowFacts[];
  /** Which ids of a range there are. */
  ids(stream: number, from: number, to: number): number[];
  /** What is wrong with the structure of the file, as far as a quick look tells. */
  check(): string | undefined;
  readonly size: number;
  /** Resolves when every transaction so far is durable. */
  sync(): Promise<void>;
  close(): void;
}

export interface BulkOpener {
  exists(dir: string): Promise<boolean>;
  /** Opens or makes the file. */
  open(dir: string): Promise<BulkFile>;
  /** Names of the files that make it up, the main one first. */
  readonly names: readonly string[];
}

/** Bytes a row counts against a quota. */
export function rowBytes(row: { key: string; value: Uint8Array }): number {
  return row.key.length + row.value.length;
}

/** How many of these rows make at most `bytesMax` together; at least the first. */
export function rowsWithin(sizes: readonly number[], bytesMax = Infinity): number {
  let bytes = 0;
  const over = sizes.findIndex((size, i) => (bytes += size) > bytesMax && i > 0);
  return over < 0 ? sizes.length : over;
}
