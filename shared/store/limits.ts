/** Bounds of the store, each with the reason for its number; any can be moved when it is opened. */
export interface StoreLimits {
  /** One value: the largest Kubernetes object (1.5 MiB) with room for what we add to it. */
  valueBytesMax: number;
  /** One commit: a journal frame carries 24 bits of length, and memory holds it twice. */
  commitBytesMax: number;
  /** Commits that share one frame and one sync; keeps the pause of applying them short. */
  batchBytesMax: number;
  /** Encoded commits waiting for the disk; beyond it `commit` is refused with `exhausted`. */
  pendingBytesMax: number;
  /** Present state in memory; beyond it only deletes are taken. */
  stateBytesMax: number;
  /** The journal grows by this, in zeros written ahead, so that an append changes no metadata. */
  journalChunkBytes: number;
  /**
   * A snapshot is taken when the journal since the last one passes this or the size of the state,
   * whichever is more: it bounds replay at start and the bytes written per byte committed.
   */
  snapshotAfterBytes: number;
  /** A snapshot copies the state by as much at a time: well under a millisecond. */
  snapshotSliceBytes: number;
  /**
   * Records on their way to the bulk file; reached, they are written in one transaction, which
   * holds up everything else: some 2 000 small records in 6 ms.
   */
  bulkFlushBytes: number;
  /** Beyond this appends wait for the bulk file, or are refused where it cannot be written. */
  bulkBufferBytesMax: number;
  /** Set-aside files kept for the operator; the oldest go first. */
  setAsideFilesMax: number;
}

export const STORE_LIMITS: StoreLimits = {
  valueBytesMax: 2 * 1024 * 1024,
  commitBytesMax: 12 * 1024 * 1024,
  batchBytesMax: 1024 * 1024,
  pendingBytesMax: 32 * 1024 * 1024,
  stateBytesMax: 512 * 1024 * 1024,
  journalChunkBytes: 256 * 1024,
  snapshotAfterBytes: 4 * 1024 * 1024,
  snapshotSliceBytes: 512 * 1024,
  bulkFlushBytes: 256 * 1024,
  bulkBufferBytesMax: 8 * 1024 * 1024,
  setAsideFilesMax: 16,
};

/** Kubernetes names are at most 253 bytes; a key may join several of them. */
export const KEY_BYTES_MAX = 1024;
export const BUCKET_BYTES_MAX = 128;
