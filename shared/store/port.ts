/**
 * The durable store both sides use: buckets of records, each a key and a CBOR-able value. A commit
 * is all or nothing and resolves only when it is on disk (journal record written and fdatasync'ed;
 * commits that wait together share one sync). Reads see only what is durable.
 */
export type StoreOp =
  | { op: "put"; bucket: string; key: string; value: unknown }
  | { op: "delete"; bucket: string; key: string };

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
}

export interface Store {
  readonly recovery: RecoveryReport;
  /** Sequence of the last durable commit; 0 for an empty store. */
  readonly lastSequence: number;
  get<T>(bucket: string, key: string): T | undefined;
  /** Records of a bucket in key order. */
  list<T>(bucket: string, options?: ListOptions): { key: string; value: T }[];
  count(bucket: string): number;
  /**
   * Applies `ops` atomically; resolves with the commit's sequence once it is durable. Commits
   * resolve in the order they were called. Errors: `exhausted` (disk full, store over its bound),
   * `unavailable` (I/O error; the commit did not happen and the store takes no more writes until
   * reopened), `invalid` (value too large).
   */
  commit(ops: readonly StoreOp[]): Promise<number>;
  /** Writes a snapshot (a plain SQLite file) beside and renames it; then cuts the journal. */
  snapshot(): Promise<void>;
  /** Waits for pending commits and closes the files. */
  close(): Promise<void>;
}
