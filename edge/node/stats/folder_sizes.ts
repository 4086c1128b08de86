/**
 * Bytes and inodes below folders (volumes, logs), as `du` counts them, remembered for a minute:
 * kubelet measures volumes that often, too. A walk is bounded; of a folder with more entries than
 * that, what was counted stands.
 */
import type { Clock } from "../../../shared/clock.ts";

export interface FolderSize {
  bytes: number;
  inodes: number;
}

const KEPT_MS = 60_000;
const ENTRIES_MAX = 200_000;
const BLOCK_BYTES = 512;

export class FolderSizes {
  readonly #clock: Clock;
  readonly #known = new Map<string, FolderSize & { atMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Undefined when there is no such folder. */
  async of(path: string, signal: AbortSignal): Promise<FolderSize | undefined> {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#known.get(path);
    if (known && nowMs - known.atMs < KEPT_MS) return known;
    const size = { bytes: 0, inodes: 0 };
    if (!await measure(path, size, signal)) return undefined;
    this.#known.set(path, { ...size, atMs: nowMs });
    return size;
  }

  /** What was not asked for lately is forgotten. */
  sweep(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [path, { atMs }] of this.#known) {
      if (nowMs - atMs >= 2 * KEPT_MS) this.#known.delete(path);
    }
  }
}

async function measure(path: string, size: FolderSize, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  try {
    for await (const entry of Deno.readDir(path)) {
      if (size.inodes >= ENTRIES_MAX) return true;
      const inner = `${path}/${entry.name}`;
      const info = await Deno.lstat(inner);
      size.bytes += (info.blocks ?? 0) * BLOCK_BYTES;
      size.inodes++;
      if (info.isDirectory) await measure(inner, size, signal);
    }
    return true;
  } catch (error) {
    signal.throwIfAborted();
    // Files come and go under the walk: what was counted stands.
    return !(error instanceof Deno.errors.NotFound) || size.inodes > 0;
  }
}
