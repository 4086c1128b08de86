/**
 * The bulk file in SQLite, through `node:sqlite`. Transactions go to the write-ahead log without a
 * sync; `sync` makes the log durable off the event loop, and when the log is long folds it into the
 * file: pages are copied to the page cache, the file is synced off the loop, and only then may a
 * transaction begin again (which starts the log anew over frames that are no longer needed). So a
 * slow disk never stalls the loop. Each row carries a checksum, because SQLite's pages have none.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { AppError } from "../errors.ts";
import {
  BULK_FORMAT,
  type BulkFile,
  type BulkHead,
  type BulkOpener,
  type BulkRow,
  type BulkTransaction,
  type RowFacts,
  type RowRange,
} from "./bulk_file.ts";
import { crc32c } from "./crc32c.ts";
import { BULK_NAME } from "./names.ts";
import { decodeCbor, encodeCbor } from "./value_codec.ts";

const PAGE_BYTES = 4096;
/** A page and its header in the log. */
const FRAME_BYTES = PAGE_BYTES + 24;
/** The log is folded in beyond this: some milliseconds of copying. */
const LOG_BYTES_MAX = 4 * 1024 * 1024;
/** Free pages given back to the file system per sync, when there are more than twice as many. */
const FREED_PAGES = 1024;

/** auto_vacuum: so that a drained backlog gives its room back. 2 MB of page cache, no mapping. */
const PRAGMAS = `PRAGMA page_size=${PAGE_BYTES}; PRAGMA auto_vacuum=INCREMENTAL;` +
  "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" +
  "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-2048; PRAGMA mmap_size=0;" +
  "PRAGMA temp_store=MEMORY;";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS records(
    stream INTEGER NOT NULL, id INTEGER NOT NULL, at INTEGER NOT NULL, up INTEGER NOT NULL,
    key TEXT NOT NULL, crc INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY(stream, id)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS head(
    one INTEGER PRIMARY KEY CHECK(one = 1), crc INTEGER, value BLOB
  );`;

const SIZE = "length(key) + length(value)";
const IN_RANGE = "FROM records WHERE stream = ? AND id > ? AND at >= ? AND at < ?";

const STATEMENTS = {
  begin: "BEGIN",
  commit: "COMMIT",
  rollback: "ROLLBACK",
  insert: "INSERT OR REPLACE INTO records VALUES(?, ?, ?, ?, ?, ?, ?)",
  remove: "DELETE FROM records WHERE stream = ? AND id BETWEEN ? AND ? " +
    `RETURNING ${SIZE} AS bytes, crc`,
  oldest: `SELECT id, ${SIZE} AS bytes, at, up FROM records WHERE stream = ? AND id > ? ` +
    "ORDER BY id LIMIT ?",
  ids: "SELECT id FROM records WHERE stream = ? AND id BETWEEN ? AND ?",
  forward: `SELECT * ${IN_RANGE} ORDER BY id LIMIT ?`,
  backward: `SELECT * ${IN_RANGE} ORDER BY id DESC LIMIT ?`,
  setHead: "INSERT OR REPLACE INTO head VALUES(1, ?, ?)",
  // asks for the length of the log and folds in nothing
  log: "PRAGMA wal_checkpoint(NOOP)",
  fold: "PRAGMA wal_checkpoint(PASSIVE)",
  free: "PRAGMA freelist_count",
  check: "PRAGMA quick_check(1)",
} as const;

type Statements = Record<keyof typeof STATEMENTS, StatementSync>;

export const NATIVE_BULK: BulkOpener = {
  names: [BULK_NAME, `${BULK_NAME}-wal`],
  exists: async (dir) => {
    try {
      return (await Deno.stat(`${dir}/${BULK_NAME}`)).isFile;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw new AppError("unavailable", `Cannot look for ${dir}/${BULK_NAME}`, {}, {
        cause: error,
      });
    }
  },
  open: (dir) => Promise.try(() => NativeBulk.open(`${dir}/${BULK_NAME}`, dir)),
};

export class NativeBulk implements BulkFile, BulkTransaction {
  readonly #db: DatabaseSync;
  readonly #statements: Statements;
  readonly #path: string;
  readonly #dir: string | undefined;
  #head: BulkHead | undefined;
  #logFrames = 0;
  #bytesWritten = 0;
  #busy = false;
  #named = false;

  /** `dir` is synced once, so that the file's name is durable; none for a file in memory. */
  static open(path: string, dir?: string): NativeBulk {
    return guard("open", path, () => {
      // SQLite gives its log the mode of the file
      if (dir) Deno.openSync(path, { write: true, create: true, mode: 0o600 }).close();
      const db = new DatabaseSync(path);
      try {
        db.exec(PRAGMAS + SCHEMA);
        return new NativeBulk(db, path, dir);
      } catch (error) {
        db.close();
        throw error;
      }
    });
  }

  private constructor(db: DatabaseSync, path: string, dir: string | undefined) {
    this.#db = db;
    this.#path = path;
    this.#dir = dir;
    const names = Object.keys(STATEMENTS) as (keyof typeof STATEMENTS)[]; // keys of it
    this.#statements = Object.fromEntries(
      names.map((name) => [name, db.prepare(STATEMENTS[name])]),
    ) as Statements; // one per name
    this.#checkSchema();
    this.#head = this.#readHead();
  }

  get head(): BulkHead | undefined {
    return this.#head;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  get busy(): boolean {
    return this.#busy;
  }

  get wantsSync(): boolean {
    return this.#logFrames * FRAME_BYTES > LOG_BYTES_MAX;
  }

  get size(): number {
    return guard(
      "read",
      this.#path,
      () => number(this.#db.prepare("PRAGMA page_count").get()?.page_count) * PAGE_BYTES,
    );
  }

  transact(work: (tx: BulkTransaction) => BulkHead): void {
    guard("write", this.#path, () => {
      this.#statements.begin.run();
      try {
        const head = work(this);
        const value = encodeCbor(head);
        this.#statements.setHead.run(crc32c(value), value);
        this.#statements.commit.run();
        this.#head = head;
      } catch (error) {
        // SQLite may have rolled back itself; then this finds nothing to do
        try {
          this.#statements.rollback.run();
        } catch { /* what went wrong first is what counts */ }
        throw error;
      }
      this.#measure();
    });
  }

  insert(stream: number, { id, atMs, upMs, key, value }: BulkRow): number {
    const crc = rowCrc(stream, { id, atMs, upMs, key, value });
    this.#statements.insert.run(stream, id, atMs, upMs, key, crc, value);
    return crc;
  }

  remove(stream: number, from: number, to: number): { bytes: number; crc: number }[] {
    return this.#statements.remove.all(stream, from, to)
      .map((row) => ({ bytes: number(row.bytes), crc: number(row.crc) }));
  }

  oldest(stream: number, after: number, limit: number): RowFacts[] {
    return guard(
      "read",
      this.#path,
      () =>
        this.#statements.oldest.all(stream, after, limit).map((row) => ({
          id: number(row.id),
          bytes: number(row.bytes),
          atMs: number(row.at),
          upMs: number(row.up),
        })),
    );
  }

  ids(stream: number, from: number, to: number): number[] {
    const found = guard("read", this.#path, () => this.#statements.ids.all(stream, from, to));
    return found.map((row) => number(row.id));
  }

  rows(range: RowRange): { rows: BulkRow[]; damaged: number[]; sum: number } {
    const { stream, after, fromMs, toMs, newestFirst, limit } = range;
    const rows: BulkRow[] = [];
    const damaged: number[] = [];
    let sum = 0;
    guard("read", this.#path, () => {
      const values: SQLInputValue[] = [stream, after, fromMs, toMs, limit];
      const found = this.#statements[newestFirst ? "backward" : "forward"].all(...values);
      for (const { id, at, up, key, crc, value } of found) {
        const row = {
          id: number(id),
          atMs: number(at),
          upMs: number(up),
          key: String(key),
          value: value as Uint8Array<ArrayBuffer>, // checked with the checksum
        };
        if (value instanceof Uint8Array && crc === rowCrc(stream, row)) {
          rows.push(row);
          sum = (sum ^ crc) >>> 0;
        } else damaged.push(row.id);
      }
    });
    return { rows, damaged, sum };
  }

  check(): string | undefined {
    return guard("check", this.#path, () => {
      const found = String(this.#statements.check.get()?.quick_check);
      return found === "ok" ? undefined : found;
    });
  }

  async sync(): Promise<void> {
    if (this.#dir === undefined) return;
    await syncFile(`${this.#path}-wal`);
    if (!this.#named) await syncFile(this.#dir);
    this.#named = true;
    if (!this.wantsSync) return;
    this.#busy = true;
    try {
      guard("write", this.#path, () => this.#fold());
      await syncFile(this.#path);
    } finally {
      this.#busy = false;
    }
  }

  close(): void {
    // closing folds the log in and removes it: only behind a sync
    try {
      this.#db.exec("PRAGMA synchronous=FULL");
    } finally {
      this.#db.close();
    }
  }

  #fold(): void {
    const free = number(this.#statements.free.get()?.freelist_count);
    if (free > 2 * FREED_PAGES) this.#db.exec(`PRAGMA incremental_vacuum(${FREED_PAGES})`);
    this.#measure();
    const folded = number(this.#statements.fold.get()?.checkpointed);
    this.#bytesWritten += Math.min(folded * PAGE_BYTES, this.size);
    this.#logFrames = 0;
  }

  /** Bytes that went to the log: it tells its length in frames, which starts anew at times. */
  #measure(): void {
    const frames = Math.max(0, number(this.#statements.log.get()?.log));
    const grown = frames >= this.#logFrames ? frames - this.#logFrames : frames;
    this.#bytesWritten += grown * FRAME_BYTES;
    this.#logFrames = frames;
  }

  /** SQLite would go by whatever a flipped bit made of it. */
  #checkSchema(): void {
    const texts = this.#db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").all();
    const found = texts.map((row) => String(row.sql)).sort();
    const flat = (text: string) => text.replace(/CREATE TABLE IF NOT EXISTS/g, "CREATE TABLE");
    const wanted = flat(SCHEMA).split(";").map((text) => text.trim()).filter(Boolean).sort();
    if (found.length === wanted.length && found.every((text, i) => text === wanted[i])) return;
    throw new AppError("internal", `Cannot read ${this.#path}: its schema is damaged`);
  }

  #readHead(): BulkHead | undefined {
    const row = this.#db.prepare("SELECT crc, value FROM head").get();
    if (!row) return undefined;
    const { crc, value } = row;
    if (!(value instanceof Uint8Array) || crc32c(value) !== crc) {
      throw new AppError("internal", `Cannot read ${this.#path}: its head fails its checksum`);
    }
    const head = decodeCbor(value) as BulkHead; // its checksum held: we wrote it
    if (head.format !== BULK_FORMAT) {
      throw new AppError(
        "internal",
        `Cannot read ${this.#path}: bulk format must be ${BULK_FORMAT}, got ${head.format}`,
      );
    }
    return head;
  }
}

function rowCrc(stream: number, { id, atMs, upMs, key, value }: BulkRow): number {
  const names = `${stream}/${id}/${atMs}/${upMs}/${key}`;
  const { read, written } = UTF8.encodeInto(names, SCRATCH);
  // where it did not fit: longer than any name the store takes
  const all = read === names.length ? SCRATCH.subarray(0, written) : UTF8.encode(names);
  return (crc32c(value) ^ Math.imul(crc32c(all), 31)) >>> 0;
}

const UTF8 = new TextEncoder();
/** For names on their way into a checksum: thousands of rows in one go leave no garbage. */
const SCRATCH = new Uint8Array(2048);

async function syncFile(path: string): Promise<void> {
  try {
    const file = await Deno.open(path, { read: true });
    await file.syncData().finally(() => file.close());
  } catch (error) {
    throw new AppError("unavailable", `Cannot sync ${path}`, { path }, { cause: error });
  }
}

function number(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

/** `exec` gives the message only, so that is what counts. */
const CODES: readonly [RegExp, "exhausted" | "internal"][] = [
  [/disk is full/, "exhausted"],
  [/malformed|not a database/, "internal"],
];

function guard<T>(verb: string, path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof AppError || !(error instanceof Error)) throw error;
    const code = CODES.find(([pattern]) => pattern.test(error.message))?.[1] ?? "unavailable";
    throw new AppError(code, `Cannot ${verb} ${path}`, { path }, { cause: error });
  }
}
