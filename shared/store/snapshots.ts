/**
 * Snapshot files: written beside, synced, renamed under a name that carries their checksum. The
 * newest two are kept, and the journal from the older one on, so that a damaged newest snapshot
 * costs nothing.
 */
import { createHash } from "node:crypto";
import type { Disk } from "./disk.ts";
import { digestName, snapshotName, TMP_SUFFIX } from "./names.ts";
import type { Segment } from "./recover.ts";

/** Bytes handed to the disk at a time, so that commits get their turn in between. */
const WRITE_BYTES = 256 * 1024;
const KEPT = 2;

export interface SnapshotFile {
  name: string;
  sequence: number;
}

export async function writeSnapshot(
  disk: Disk,
  dir: string,
  sequence: number,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<SnapshotFile> {
  const tmpPath = `${dir}/${snapshotName(sequence, "")}${TMP_SUFFIX}`;
  const hash = createHash("sha256");
  let name: string;
  try {
    const file = await disk.open(tmpPath, "create");
    try {
      for (let at = 0; at < bytes.length; at += WRITE_BYTES) {
        const slice = bytes.subarray(at, at + WRITE_BYTES);
        hash.update(slice);
        await file.writeAt(at, slice);
      }
      await file.syncData();
    } finally {
      file.close();
    }
    name = snapshotName(sequence, digestName(hash.digest()));
    await disk.rename(tmpPath, `${dir}/${name}`);
  } catch (error) {
    // Gives the room back; what cannot be removed now is removed at the next open.
    await disk.remove(tmpPath).catch(() => {});
    throw error;
  }
  await disk.syncDir(dir);
  return { name, sequence };
}

/**
 * What is no longer needed once `snapshots` (newest first) are durable and the bulk file holds
 * everything up to `bulkThrough`. Pure.
 */
export function planPrune(
  snapshots: readonly SnapshotFile[],
  segments: readonly Segment[],
  bulkThrough: number,
): { snapshots: SnapshotFile[]; segments: Segment[] } {
  const oldestKept = snapshots[KEPT - 1];
  if (!oldestKept) return { snapshots: [], segments: [] };
  return {
    snapshots: snapshots.slice(KEPT),
    segments: segments.filter((_, i) => {
      // all of a segment's commits that count are at or below the base of the next one
      const next = segments[i + 1];
      return next !== undefined && next.baseSequence <= Math.min(oldestKept.sequence, bulkThrough);
    }),
  };
}
