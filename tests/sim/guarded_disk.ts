/**
 * A disk as one process sees it: SimDisk below, the process's life around each act, and a little
 * time for each sync, so that other things happen meanwhile.
 */
import type { Random } from "../../shared/random.ts";
import type { BulkOpener } from "../../shared/store/bulk_file.ts";
import type { Disk, DiskFile, DiskLock } from "../../shared/store/disk.ts";
import type { SimDisk } from "../../shared/store/sim_disk.ts";
import type { Life } from "./life.ts";

const SYNC_MS_MAX = 3;

/** Faults that a disk may have for a while. */
export interface DiskTrouble {
  /** Each sync takes so much longer. */
  slowMs: number;
}

export interface GuardedDiskOptions {
  disk: SimDisk;
  life: Life;
  random: Random;
  trouble: DiskTrouble;
  onAct: (act: string, path: string) => void;
}

/** What a process that ended by itself has closed already, says so. */
function quietly(close: () => void): void {
  try {
    close();
  } catch {
    // nothing is left of it, and that is all that is wanted
  }
}

export class GuardedDisk implements Disk {
  readonly #options: GuardedDiskOptions;

  constructor(options: GuardedDiskOptions) {
    this.#options = options;
  }

  /** What was not synced is lost with the disk itself, as everything else of it. */
  get bulk(): BulkOpener {
    const { disk: { bulk }, life } = this.#options;
    return {
      names: bulk.names,
      exists: (dir) => bulk.exists(dir),
      open: async (dir) => {
        const file = await bulk.open(dir);
        void life.ended.then(() => quietly(() => file.close()));
        return file;
      },
    };
  }

  ensureDir(dir: string): Promise<void> {
    return this.#do("ensureDir", dir, (disk) => disk.ensureDir(dir));
  }

  list(dir: string): Promise<string[]> {
    return this.#do("list", dir, (disk) => disk.list(dir));
  }

  read(path: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.#do("read", path, (disk) => disk.read(path));
  }

  async open(path: string, mode: "create" | "existing"): Promise<DiskFile> {
    const file = await this.#do(`open ${mode}`, path, (disk) => disk.open(path, mode));
    return {
      writeAt: (offset, bytes) => {
        const act = `write ${offset}+${bytes.length}`;
        return this.#do(act, path, () => file.writeAt(offset, bytes));
      },
      truncate: (size) => this.#do(`truncate ${size}`, path, () => file.truncate(size)),
      syncData: async () => {
        await this.#takeTime();
        await this.#do("sync", path, () => file.syncData());
      },
      close: () => file.close(),
    };
  }

  rename(from: string, to: string): Promise<void> {
    return this.#do(`rename ${from}`, to, (disk) => disk.rename(from, to));
  }

  remove(path: string): Promise<void> {
    return this.#do("remove", path, (disk) => disk.remove(path));
  }

  async syncDir(dir: string): Promise<void> {
    await this.#takeTime();
    await this.#do("syncDir", dir, (disk) => disk.syncDir(dir));
  }

  lock(path: string): Promise<DiskLock> {
    return this.#do("lock", path, (disk) => disk.lock(path));
  }

  #takeTime(): Promise<void> {
    const { life, random, trouble } = this.#options;
    return life.clock.sleep(random.float() * SYNC_MS_MAX + trouble.slowMs);
  }

  #do<T>(act: string, path: string, work: (disk: SimDisk) => Promise<T>): Promise<T> {
    const { disk, life, onAct } = this.#options;
    return life.call(() => {
      onAct(act, path);
      return work(disk);
    });
  }
}
