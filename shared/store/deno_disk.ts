/**
 * The real disk, through Deno. Small writes go straight to the page cache (a copy of some
 * microseconds, cheaper than a trip to the thread pool); syncs and large writes never block the
 * event loop.
 */
import { AppError } from "../errors.ts";
import type { Disk, DiskFile, DiskLock } from "./disk.ts";
import { NATIVE_BULK } from "./native_bulk.ts";

/** Above this a write goes through the thread pool, so that a slow disk cannot stall the loop. */
const SYNC_WRITE_BYTES_MAX = 64 * 1024;

export class DenoDisk implements Disk {
  readonly bulk = NATIVE_BULK;

  async ensureDir(dir: string): Promise<void> {
    await guard("create folder", dir, () => Deno.mkdir(dir, { recursive: true, mode: 0o700 }));
  }

  async list(dir: string): Promise<string[]> {
    return await guard("list folder", dir, async () => {
      const names: string[] = [];
      for await (const entry of Deno.readDir(dir)) if (entry.isFile) names.push(entry.name);
      return names;
    });
  }

  async read(path: string): Promise<Uint8Array<ArrayBuffer>> {
    return await guard("read", path, () => Deno.readFile(path));
  }

  async open(path: string, mode: "create" | "existing"): Promise<DiskFile> {
    const create = mode === "create";
    const options = { read: true, write: true, create, truncate: create, mode: 0o600 };
    return new DenoDiskFile(path, await guard("open", path, () => Deno.open(path, options)));
  }

  async rename(from: string, to: string): Promise<void> {
    await guard("rename", from, () => Deno.rename(from, to));
  }

  async remove(path: string): Promise<void> {
    await guard("remove", path, () => Deno.remove(path));
  }

  async syncDir(dir: string): Promise<void> {
    await guard("sync folder", dir, async () => {
      const folder = await Deno.open(dir, { read: true });
      try {
        await folder.sync();
      } finally {
        folder.close();
      }
    });
  }

  async lock(path: string): Promise<DiskLock> {
    return await guard("lock", path, () => takeLock(path));
  }
}

class DenoDiskFile implements DiskFile {
  readonly #path: string;
  readonly #file: Deno.FsFile;
  /** Where the file's cursor is; -1 when unknown. Saves a seek per append. */
  #cursor = -1;

  constructor(path: string, file: Deno.FsFile) {
    this.#path = path;
    this.#file = file;
  }

  async writeAt(offset: number, bytes: Uint8Array): Promise<void> {
    await guard("write", this.#path, async () => {
      if (this.#cursor !== offset) this.#file.seekSync(offset, Deno.SeekMode.Start);
      this.#cursor = -1;
      for (let done = 0; done < bytes.length;) {
        const rest = bytes.subarray(done);
        done += rest.length <= SYNC_WRITE_BYTES_MAX
          ? this.#file.writeSync(rest)
          : await this.#file.write(rest);
      }
      this.#cursor = offset + bytes.length;
    });
  }

  async syncData(): Promise<void> {
    await guard("sync", this.#path, () => this.#file.syncData());
  }

  async truncate(size: number): Promise<void> {
    await guard("truncate", this.#path, () => this.#file.truncate(size));
  }

  close(): void {
    this.#file.close();
  }
}

async function takeLock(path: string): Promise<DiskLock> {
  const { file, writable } = await openLockFile(path);
  try {
    if (!(await file.tryLock(true))) {
      const holder = (await Deno.readTextFile(path)).trim();
      throw new AppError(
        "unavailable",
        `Cannot open store ${path.replace(/\/[^/]*$/, "")}: it is in use by process ${
          holder || "unknown"
        }`,
        { holder },
      );
    }
    // The name is for people; the lock holds without it, also when the disk is full.
    if (writable) await writeHolder(file).catch(() => {});
  } catch (error) {
    file.close();
    throw error;
  }
  // The lock ends with the descriptor; the file stays, because removing it would race a newcomer.
  return { release: () => Promise.resolve(file.close()) };
}

/** On a read-only disk an existing lock file does: the lock is on the descriptor. */
async function openLockFile(path: string): Promise<{ file: Deno.FsFile; writable: boolean }> {
  try {
    const options = { read: true, write: true, create: true, mode: 0o600 };
    return { file: await Deno.open(path, options), writable: true };
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EROFS")) throw error;
    return { file: await Deno.open(path, { read: true }), writable: false };
  }
}

async function writeHolder(file: Deno.FsFile): Promise<void> {
  await file.truncate(0);
  await file.write(new TextEncoder().encode(`${Deno.pid}\n`));
}

async function guard<T>(verb: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError(codeOf(error), `Cannot ${verb} ${path}`, { path }, { cause: error });
  }
}

function codeOf(error: unknown): "exhausted" | "not_found" | "unavailable" {
  if (error instanceof Deno.errors.NotFound) return "not_found";
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG" ? "exhausted" : "unavailable";
}
