/**
 * Which images go when their file system fills up: kubelet's thresholds and order. Pure. Images of
 * containers, of desired pods and of the runtime itself are never among them: a node without
 * network could not get them back.
 */
export interface ImageGcThresholds {
  /** Above this use of the file system images are removed; 100 turns it off. */
  highPercent: number;
  /** Down to this. */
  lowPercent: number;
}

export interface DiskUse {
  capacityBytes: number;
  availableBytes: number;
  /** More than is available where root keeps a part for itself. */
  freeBytes?: number;
  /** 0 where the file system counts none. */
  inodes?: number;
  inodesFree?: number;
}

export interface KnownImage {
  id: string;
  bytes: number;
  pinned: boolean;
  inUse: boolean;
  /** Monotonic. */
  firstSeenAtMs: number;
  lastUsedAtMs: number;
}

/** Pulled a moment ago and not run yet. */
const AGE_MS_MIN = 120_000;

export interface ImageGcPlan {
  /** 0: all is well. */
  bytesToFree: number;
  /** Least recently used first. */
  remove: KnownImage[];
}

export function planImageGc(
  images: readonly KnownImage[],
  disk: DiskUse,
  thresholds: ImageGcThresholds,
  nowMs: number,
): ImageGcPlan {
  const { capacityBytes, availableBytes } = disk;
  if (capacityBytes <= 0) return { bytesToFree: 0, remove: [] };
  const usedPercent = 100 - Math.floor(availableBytes * 100 / capacityBytes);
  const { highPercent, lowPercent } = thresholds;
  if (highPercent >= 100 || usedPercent < highPercent) return { bytesToFree: 0, remove: [] };
  const bytesToFree = Math.floor(capacityBytes * (100 - lowPercent) / 100) - availableBytes;
  const spare = images
    .filter((i) => !i.inUse && !i.pinned && nowMs - i.firstSeenAtMs >= AGE_MS_MIN)
    .sort((a, b) => a.lastUsedAtMs - b.lastUsedAtMs || a.firstSeenAtMs - b.firstSeenAtMs);
  const remove: KnownImage[] = [];
  let freed = 0;
  for (const image of spare) {
    if (freed >= bytesToFree) break;
    remove.push(image);
    freed += image.bytes;
  }
  return { bytesToFree, remove };
}
