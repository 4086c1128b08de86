/**
 * The open journal segment. `append` returns only when the frame is on disk, and leaves the file as
 * it was when it fails for lack of room. Room is written ahead in zeros and synced before frames go
 * over it, so that an append is one write and one fdatasync that changes no metadata.
 */
import { AppError, isAppError } from "../errors.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { encodeHeader, HEADER_BYTES, type SegmentHeader } from "./journal_format.ts";
import { journalName, TMP_SUFFIX } from "./names.ts";

const PAGE_BYTES = 4096;

export interface JournalOptions {
  disk: Disk;
  dir: string;
  chunkBytes: number;
}

export class Journal {
  readonly name: string;
  readonly baseSequence: number;
  readonly #file: DiskFile;
  readonly #chunkBytes: number;
  #end: number;
  #allocated: number;
  #bytesWritten = 0;

  private constructor(
    at: { name: string; baseSequence: number; end: number; allocated: number },
    file: DiskFile,
    chunkBytes: number,
  ) {
    this.name = at.name;
    this.baseSequence = at.baseSequence;
    this.#end = at.end;
    this.#allocated = at.allocated;
    this.#file = file;
    this.#chunkBytes = chunkBytes;
  }

  /** Makes a new, durable segment; after a failure there is none, or the error is `internal`. */
  static async create(options: JournalOptions, header: SegmentHeader): Promise<Journal> {
    const { disk, dir, chunkBytes } = options;
    const name = journalName(header.firstSequence);
    const path = `${dir}/${name}`;
    const first = new Uint8Array(chunkBytes);
    first.set(encodeHeader(header));
    let renamed = false;
    let file: DiskFile;
    try {
      await writeWhole(disk, path + TMP_SUFFIX, first);
      renamed = true;
      await disk.rename(path + TMP_SUFFIX, path);
      await disk.syncDir(dir);
      file = await disk.open(path, "existing");
    } catch (error) {
      await undoCreate(disk, dir, renamed ? path : undefined, path + TMP_SUFFIX, error);
      throw error;
    }
    const at = {
      name,
      baseSequence: header.baseSequence,
      end: HEADER_BYTES,
      allocated: chunkBytes,
    };
    const journal = new Journal(at, file, chunkBytes);
    journal.#bytesWritten = chunkBytes;
    return journal;
  }

  /** Goes on behind the last good frame of a segment whose tail is clean. */
  static async resume(
    options: JournalOptions,
    at: { name: string; baseSequence: number; end: number; allocated: number },
  ): Promise<Journal> {
    const file = await options.disk.open(`${options.dir}/${at.name}`, "existing");
    return new Journal(at, file, options.chunkBytes);
  }

  /** Bytes of frames in this segment. */
  get usedBytes(): number {
    return this.#end - HEADER_BYTES;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /**
   * Errors: `exhausted`, nothing of the frame stays and the journal can go on; anything else, the
   * state of the file is unknown and the journal must not be used again.
   */
  async append(frame: Uint8Array): Promise<void> {
    // one zero stays behind the last frame: a file without it was cut short
    if (this.#end + frame.length + 1 > this.#allocated) await this.#extend(frame.length + 1);
    try {
      await this.#file.writeAt(this.#end, frame);
      await this.#file.syncData();
    } catch (error) {
      await this.#wipe(frame.length, error);
      throw error;
    }
    this.#end += frame.length;
    this.#bytesWritten += frame.length;
  }

  close(): void {
    this.#file.close();
  }

  async #extend(neededBytes: number): Promise<void> {
    const size = roundUp(this.#end + neededBytes, this.#chunkBytes);
    try {
      await writeInPages(this.#file, this.#allocated, new Uint8Array(size - this.#allocated));
      await this.#file.syncData();
    } catch (error) {
      // Zeros behind the end harm nothing; giving the room back is a courtesy to a full disk.
      await this.#file.truncate(this.#allocated).catch(() => {});
      throw error;
    }
    this.#bytesWritten += size - this.#allocated;
    this.#allocated = size;
  }

  /** Takes back what part of a failed frame was written. */
  async #wipe(length: number, cause: unknown): Promise<void> {
    try {
      await this.#file.writeAt(this.#end, new Uint8Array(length));
      await this.#file.syncData();
    } catch (error) {
      // After any other failure the store takes no more writes anyway, and this was a courtesy.
      if (!isAppError(cause, "exhausted")) return;
      throw new AppError("unavailable", `Cannot take back a failed write to ${this.name}`, {}, {
        cause: error,
      });
    }
  }
}

async function writeWhole(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const file = await disk.open(path, "create");
  try {
    await writeInPages(file, 0, bytes);
    await file.syncData();
  } finally {
    file.close();
  }
}

/**
 * A page at a time: the kernel keeps what comes in one piece as one piece in its cache, and would
 * count all of it as written with each small frame that changes it.
 */
async function writeInPages(file: DiskFile, offset: number, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
    await file.writeAt(offset + at, bytes.subarray(at, at + PAGE_BYTES));
  }
}

async function undoCreate(
  disk: Disk,
  dir: string,
  path: string | undefined,
  tmpPath: string,
  cause: unknown,
): Promise<void> {
  // A leftover .tmp is removed at the next open; a segment under its final name would hide commits
  // that go on in the old one, so it must be gone for certain.
  await disk.remove(tmpPath).catch(() => {});
  if (path === undefined) return;
  try {
    await disk.remove(path).catch((error) => {
      if (!isAppError(error, "not_found")) throw error;
    });
    await disk.syncDir(dir);
  } catch {
    throw new AppError("internal", `Cannot tell whether ${path} was made`, {}, { cause });
  }
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}
