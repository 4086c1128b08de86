/**
 * What the store needs of a disk, and nothing more. Two adapters: `deno_disk.ts` (the real one) and
 * `sim_disk.ts` (torn writes, lost unsynced data, flipped bits, full, slow). Both throw AppError:
 * `exhausted` when the disk is full, `not_found` when a file is not there, `unavailable` otherwise.
 * Nothing counts as durable before `syncData` (contents) or `syncDir` (names) has resolved.
 */
import type { BulkOpener } from "./bulk_file.ts";

export interface Disk {
  /** Where streams of a store on this disk go; without it such a store has none. */
  readonly bulk?: BulkOpener;
  /** Makes `dir` and its parents where they are missing. */
  ensureDir(dir: string): Promise<void>;
  /** Names of the files in `dir`, in no particular order. */
  list(dir: string): Promise<string[]>;
  read(path: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Opens for writing; `create` makes a new, empty file (an old one of that name is emptied). */
  open(path: string, mode: "create" | "existing"): Promise<DiskFile>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in `dir` durable. */
  syncDir(dir: string): Promise<void>;
  /**
   * Takes an exclusive lock that ends with the process; throws `unavailable` naming the holder when
   * another process (or another store in this one) has it.
   */
  lock(path: string): Promise<DiskLock>;
}

export interface DiskFile {
  /** Writes all of `bytes`; on an error any part of them may have been written. */
  writeAt(offset: number, bytes: Uint8Array): Promise<void>;
  syncData(): Promise<void>;
  truncate(size: number): Promise<void>;
  close(): void;
}

export interface DiskLock {
  release(): Promise<void>;
}
