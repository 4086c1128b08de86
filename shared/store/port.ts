/**
 * The durable store both sides use: buckets of records, each a key and a CBOR-able value. A commit
 * is all or nothing and resolves only when it is on disk (journal record written and fdatasync'ed;
 * commits that wait together share one sync). Reads see only what is durable.
 *
 * Beside the buckets, which sit in memory, there are *streams*: records that are appended, read in
 * order and removed, and never sit in memory. Their place is the bulk file.
 */
export type StoreOp =
  | { op: "put"; bucket: string; key: string; value: unknown }
  | { op: "delete"; bucket: string; key: string }
  /** Its id is `recordId(sequence of the commit, index among the commit's appends)`. */
  | { op: "append"; stream: string; key: string; value: unknown; atMs: number }
  /** Ids that are not there (any more) are passed over. */
  | { op: "remove"; stream: string; ids: readonly number[] };

/** Appends in one commit; also what sequences are spread by to make room for ids between them. */
export const APPENDS_PER_COMMIT_MAX = 4096;

/** Ids rise with commits and with the order in a commit, and are never used twice. */
export function recordId(sequence: number, index: number): number {
  return sequence * APPENDS_PER_COMMIT_MAX + index;
}

export interface BulkRecord<T> {
  id: number;
  key: string;
  /** Wall clock at the append, for people. */
  atMs: number;
  /** Operating time of the store at the append: rises, never jumps; what its age is told by. */
  upMs: number;
  value: T;
}

/** What a stream may hold; the oldest go first, each counted under the reason. */
export interface StreamPolicy {
  /** Operating time after which a record is dropped as `expired`. */
  ttlMs: number;
  /** Beyond these the oldest are dropped as `quota`. */
  rowsMax: number;
  bytesMax: number;
  /** Records that are not dropped now, because they are on their way. */
  keep?: (id: number) => boolean;
}

/** Every record ever appended is held, was removed, or was dropped for one reason. */
export interface StreamStats {
  rows: number;
  bytes: number;
  appended: number;
  removed: number;
  /** By reason: `expired`, `quota`, `lost` (with a bulk file), `damaged` (failed its checksum). */
  dropped: Record<string, number>;
  /** Of the oldest record held. */
  oldestAtMs: number | undefined;
}

export interface BulkRange {
  /** Only ids greater than this. */
  after?: number;
  /** Only stamps from this on. */
  fromMs?: number;
  /** Only stamps before this. */
  toMs?: number;
  newestFirst?: boolean;
  limit: number;
  /**
   * Stops before the record that would make it more; the first one always comes. Bounds what is
   * read into memory where nothing but `after` is said.
   */
  bytesMax?: number;
}

export interface Bulk {
  /** Says what a stream may hold; without it nothing of the stream is dropped. */
  declare(stream: string, policy: StreamPolicy): void;
  /** Records in order of their ids. */
  read<T>(stream: string, range: BulkRange): BulkRecord<T>[];
  /** The same with values as plain CBOR, for those who only pass them on. */
  readEncoded(stream: string, range: BulkRange): BulkRecord<Uint8Array<ArrayBuffer>>[];
  stats(stream: string): StreamStats;
  /** Operating time now; the scale of `upMs`. */
  upMs(): number;
  /** Drops what is over its age now, also when nothing is appended. */
  expire(): void;
  /** Why nothing can be appended or read just now; undefined when all is well. */
  readonly problem: string | undefined;
}

export interface ListOptions {
  /** Only keys that start with this. */
  prefix?: string;
  /** Only keys greater than this (for paging). */
  after?: string;
  limit?: number;
}

/** What `open` found and did; shown by `diagnose` and `/readyz`. */
export interface RecoveryReport {
  /** Sequence of the last commit that was recovered. */
  lastSequence: number;
  /** Journal records replayed on top of the snapshot. */
  replayed: number;
  /** Bytes cut from the journal's end because a crash tore its last, never acknowledged record. */
  tornBytes: number;
  /** Damage that was detected: what, where, and the file it was set aside as. */
  damage: { what: string; file: string; offset?: number; setAsideAs?: string }[];
  /** Set when commits that were acknowledged may be gone: what is absent may have been here. */
  lostCommits?: boolean;
}

/** Why writes are refused, or take long. Reads go on. */
export interface DiskProblem {
  kind: "full" | "read-only" | "failed" | "slow";
  message: string;
  forMs: number;
}

export interface Store {
  readonly recovery: RecoveryReport;
  readonly bulk: Bulk;
  /** What is wrong with the disk, until a write succeeds; absent where there is no disk. */
  readonly problem?: DiskProblem | undefined;
  /** Sequence of the last durable commit; 0 for an empty store. */
  readonly lastSequence: number;
  get<T>(bucket: string, key: string): T | undefined;
  /** Records of a bucket in key order. */
  list<T>(bucket: string, options?: ListOptions): { key: string; value: T }[];
  count(bucket: string): number;
  /** Keys whose values are sealed with a key that is lost: `get` and `list` pass them over. */
  unreadable(bucket: string): string[];
  /**
   * Applies `ops` atomically; resolves with the commit's sequence once it is durable. Commits
   * resolve in the order they were called. Errors: `exhausted` (disk full, store over its bound),
   * `unavailable` (I/O error: the commit did not happen; later ones may, once the disk works
   * again), `invalid` (value too large).
   */
  commit(ops: readonly StoreOp[]): Promise<number>;
  /** Writes a snapshot (a plain SQLite file) beside and renames it; then cuts the journal. */
  snapshot(): Promise<void>;
  /** Waits for pending commits and closes the files. */
  close(): Promise<void>;
}
