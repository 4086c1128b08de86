/**
 * Present state: one table in SQLite, whole in memory. It holds exactly the durable commits, is
 * changed only by `apply`, and is copied out as a plain SQLite file for a snapshot: in slices, so
 * that commits get their turn in between (`state_copy.ts`).
 */
import { AppError } from "../errors.ts";
import type { RawOp } from "./ops.ts";
import { compareKeys } from "./ops.ts";
import type { ListOptions } from "./port.ts";
import type { Database, SqlJsStatic, Statement } from "./sql_js.d.ts";
import { StateCopy } from "./state_copy.ts";

export const STATE_FORMAT = 1;

/** Objects of some kB fit a page; on smaller ones each of them would take a page of its own. */
export const PAGE_BYTES = 16 * 1024;

/** As they must be before the first table is made; else they need a VACUUM. */
const LAYOUT = `PRAGMA page_size=${PAGE_BYTES}; PRAGMA auto_vacuum=INCREMENTAL;`;

const SCHEMA = `
  CREATE TABLE objects(
    bucket TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY(bucket, key)
  ) WITHOUT ROWID;
  CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  INSERT INTO meta VALUES('format', '${STATE_FORMAT}'), ('sequence', '0');`;

/**
 * The file is memory, so syncs and a large page cache buy nothing; a rollback journal in memory
 * keeps a failed `apply` from leaving half a commit.
 */
const PRAGMAS = "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; PRAGMA temp_store=MEMORY;" +
  "PRAGMA cache_size=-256; PRAGMA locking_mode=EXCLUSIVE;";

/** Less than this is not worth moving pages for. */
const FREE_BYTES_MIN = 1024 * 1024;

/** Free pages given back at a time: a millisecond or a few. */
const FREED_PAGES = 128;

const STATEMENTS = {
  begin: "BEGIN",
  commit: "COMMIT",
  put: "INSERT OR REPLACE INTO objects VALUES(?, ?, ?)",
  delete: "DELETE FROM objects WHERE bucket = ? AND key = ?",
  get: "SELECT value FROM objects WHERE bucket = ? AND key = ?",
  listFrom: "SELECT key, value FROM objects WHERE bucket = ? AND key >= ? ORDER BY key",
  listAfter: "SELECT key, value FROM objects WHERE bucket = ? AND key > ? ORDER BY key",
  count: "SELECT count(*) FROM objects WHERE bucket = ?",
  usedBytes: "SELECT (page_count - freelist_count) * page_size " +
    "FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
  freePages: "SELECT freelist_count FROM pragma_freelist_count",
  pages: "SELECT page_count FROM pragma_page_count",
} as const;

export class SqliteState {
  readonly #sqlite: SqlJsStatic;
  readonly #db: Database;
  readonly #statements: Record<keyof typeof STATEMENTS, Statement>;
  #copy: StateCopy | undefined;

  private constructor(sqlite: SqlJsStatic, db: Database) {
    this.#sqlite = sqlite;
    this.#db = db;
    this.#statements = prepareAll(db);
  }

  /** An empty state, or the one in `file`; throws `internal` for a format of a later version. */
  static open(sqlite: SqlJsStatic, file?: Uint8Array): SqliteState {
    const db = new sqlite.Database(file);
    try {
      if (file) {
        checkFormat(db);
        if (!isLaidOut(db)) db.run(`${LAYOUT} VACUUM`);
      } else db.run(LAYOUT + SCHEMA);
      return new SqliteState(sqlite, db);
    } catch (error) {
      db.close();
      throw error;
    }
  }

  /** Applies commits that are on disk, all or none. */
  apply(commits: readonly RawOp[][]): void {
    const { begin, commit, put, delete: remove } = this.#statements;
    begin.run();
    try {
      for (const ops of commits) {
        for (const op of ops) {
          if (op[0] === 0) put.run([op[1], op[2], op[3]]);
          else if (op[0] === 1) remove.run([op[1], op[2]]);
        }
      }
      commit.run();
    } catch (error) {
      this.#db.run("ROLLBACK");
      throw error;
    }
  }

  get(bucket: string, key: string): Uint8Array<ArrayBuffer> | undefined {
    const { get } = this.#statements;
    get.bind([bucket, key]);
    const value = get.step() ? get.get()[0] : undefined;
    get.reset();
    return value instanceof Uint8Array ? value : undefined;
  }

  list(bucket: string, options: ListOptions): { key: string; value: Uint8Array<ArrayBuffer> }[] {
    const { prefix = "", after, limit = Infinity } = options;
    const useAfter = after !== undefined && compareKeys(after, prefix) >= 0;
    const statement = this.#statements[useAfter ? "listAfter" : "listFrom"];
    const rows: { key: string; value: Uint8Array<ArrayBuffer> }[] = [];
    statement.bind([bucket, useAfter ? after : prefix]);
    while (rows.length < limit && statement.step()) {
      const [key, value] = statement.get();
      // in key order, those with the prefix follow one another
      if (typeof key !== "string" || !key.startsWith(prefix)) break;
      if (value instanceof Uint8Array) rows.push({ key, value });
    }
    statement.reset();
    return rows;
  }

  count(bucket: string): number {
    return this.#number("count", [bucket]);
  }

  /** Size of the state as a file, without free pages. */
  get bytes(): number {
    return this.#number("usedBytes", []);
  }

  /** Gives some free pages back where they are many; true while there is more to do. */
  compactSome(): boolean {
    const worth = () =>
      this.#number("freePages", []) * PAGE_BYTES > Math.max(FREE_BYTES_MIN, this.bytes);
    if (!worth()) return false;
    this.#db.run(`PRAGMA incremental_vacuum(${FREED_PAGES})`);
    return worth();
  }

  /** Begins a copy; one at a time. It follows what `apply` does meanwhile. */
  beginCopy(): StateCopy {
    this.#copy?.abandon();
    this.#copy = new StateCopy(this.#sqlite, this.#db, {
      pages: () => this.#number("pages", []),
      stamp: (sequence) =>
        this.#db.run("UPDATE meta SET value = ? WHERE name = 'sequence'", [String(sequence)]),
    });
    return this.#copy;
  }

  close(): void {
    this.#copy?.abandon();
    for (const statement of Object.values(this.#statements)) statement.free();
    this.#db.close();
  }

  #number(name: "count" | "usedBytes" | "freePages" | "pages", values: string[]): number {
    const statement = this.#statements[name];
    statement.bind(values);
    const value = statement.step() ? statement.get()[0] : 0;
    statement.reset();
    return typeof value === "number" ? value : 0;
  }
}

function prepareAll(db: Database): Record<keyof typeof STATEMENTS, Statement> {
  db.run(PRAGMAS);
  const names = Object.keys(STATEMENTS) as (keyof typeof STATEMENTS)[]; // keys of it
  const entries = names.map((name) => [name, db.prepare(STATEMENTS[name])] as const);
  return Object.fromEntries(entries) as Record<keyof typeof STATEMENTS, Statement>; // one per name
}

function checkFormat(db: Database): void {
  const format = Number(db.exec("SELECT value FROM meta WHERE name = 'format'")[0]?.values[0]?.[0]);
  if (format !== STATE_FORMAT) {
    throw new AppError(
      "internal",
      `Cannot read snapshot: format must be ${STATE_FORMAT}, got ${format}`,
    );
  }
}

/** Snapshots of earlier versions had smaller pages, and kept free ones until a VACUUM. */
function isLaidOut(db: Database): boolean {
  const [size, vacuum] = db.exec("PRAGMA page_size; PRAGMA auto_vacuum")
    .map((result) => result.values[0]?.[0]);
  return size === PAGE_BYTES && vacuum === 2;
}
