/** How a store is opened, and what it says of its work. */
import type { Clock } from "../clock.ts";
import type { BulkOpener } from "./bulk_file.ts";
import type { Disk } from "./disk.ts";
import type { StoreLimits } from "./limits.ts";
import type { ValueCodec } from "./value_codec.ts";

export interface StoreOptions {
  /** Made where it is missing. One store per folder, held by a lock. */
  dir: string;
  disk: Disk;
  clock: Clock;
  limits?: Partial<StoreLimits>;
  /** How values become bytes; sealing at rest goes here. */
  codec?: ValueCodec;
  /** Where streams go, in place of the disk's own. */
  bulk?: BulkOpener;
}

export interface StoreStats {
  commits: number;
  /** Syncs of the journal: commits per sync is the gain of group commit. */
  syncs: number;
  syncMsMax: number;
  /** Bytes handed to the disk since open, by kind. */
  written: Written;
  /** All of them. */
  bytesWritten: number;
  /** Journal bytes since the last snapshot. */
  journalBytes: number;
  stateBytes: number;
  snapshots: number;
  pendingBytes: number;
  /** Longest the event loop was held by taking a snapshot. */
  snapshotPauseMsMax: number;
}

/** Bytes by what they were written for. */
export interface Written {
  /** Room written ahead is among it. */
  journal: number;
  snapshot: number;
  bulk: number;
}
