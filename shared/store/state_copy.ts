/**
 * A copy of the present state in the making, by SQLite's online backup: some pages at a time, and
 * pages that change behind it are copied again by SQLite itself, so that the finished copy is the
 * state of one moment, the last. The copy's bytes are reached without another copy: sql.js keeps as
 * a file's contents what `slice` of the bytes it is given returns. Where that does not hold
 * (another sql.js, a state that outgrew the room) they are exported in one step instead.
 */
import { AppError, invariant } from "../errors.ts";
import type { Database, SqlJsStatic } from "./sql_js.d.ts";

/** Room for what the state grows by meanwhile. */
const ROOM_BYTES = 2 * 1024 * 1024;

const SQLITE_OK = 0;
const SQLITE_DONE = 101;

/** What the copy needs of the state, beside its database. */
interface Source {
  pages(): number;
  /** Writes into the state up to which sequence it leads. */
  stamp(sequence: number): void;
}

export class StateCopy {
  readonly #db: Database;
  readonly #source: Source;
  readonly #target: Database;
  readonly #contents: Uint8Array<ArrayBuffer>;
  readonly #pageBytes: number;
  readonly #step: (backup: number, pages: number) => number;
  readonly #finish: (backup: number) => number;
  #isCaught = false;
  #backup: number;
  #copiedPages = 0;

  constructor(sqlite: SqlJsStatic, db: Database, source: Source) {
    this.#db = db;
    this.#source = source;
    const pageBytes = Number(db.exec("PRAGMA page_size")[0]?.values[0]?.[0]);
    this.#pageBytes = pageBytes;
    this.#contents = new Uint8Array(source.pages() * pageBytes + ROOM_BYTES);
    this.#target = this.#openTarget(sqlite, pageBytes);
    const init = sqlite.cwrap("sqlite3_backup_init", "number", [
      "number",
      "string",
      "number",
      "string",
    ]);
    this.#step = sqlite.cwrap("sqlite3_backup_step", "number", ["number", "number"]);
    this.#finish = sqlite.cwrap("sqlite3_backup_finish", "number", ["number"]);
    this.#backup = init(this.#target.db, "main", db.db, "main");
    invariant(this.#backup !== 0, "a backup of present state can begin");
  }

  /** Copies so much; false when no more than one is left, which `finish` copies. */
  copySome(sliceBytes: number): boolean {
    this.#assertGoing();
    const slicePages = Math.max(1, Math.floor(sliceBytes / this.#pageBytes));
    if (this.#source.pages() - this.#copiedPages <= slicePages) return false;
    this.#check(this.#step(this.#backup, slicePages), SQLITE_OK);
    this.#copiedPages += slicePages;
    return true;
  }

  /** The copy, as of this moment, saying that it holds commits up to `sequence`. */
  finish(sequence: number): Uint8Array<ArrayBuffer> {
    this.#assertGoing();
    try {
      this.#source.stamp(sequence);
      this.#check(this.#step(this.#backup, -1), SQLITE_DONE);
      const bytes = this.#source.pages() * this.#pageBytes;
      this.#finish(this.#backup);
      this.#backup = 0;
      const isHere = this.#isCaught && bytes <= this.#contents.length;
      return isHere ? this.#contents.subarray(0, bytes) : this.#target.export();
    } finally {
      this.abandon();
      this.#target.close();
    }
  }

  /** Lets go of an unfinished copy. */
  abandon(): void {
    if (this.#backup === 0) return;
    this.#finish(this.#backup);
    this.#backup = 0;
    this.#target.close();
  }

  /** A database of one page whose file is `#contents`. */
  #openTarget(sqlite: SqlJsStatic, pageBytes: number): Database {
    const empty = new sqlite.Database();
    empty.run(`PRAGMA page_size=${pageBytes}; PRAGMA user_version=1`);
    const seed = empty.export();
    empty.close();
    const slice = () => {
      this.#isCaught = true;
      this.#contents.set(seed);
      return this.#contents;
    };
    const target = new sqlite.Database(Object.defineProperty(seed, "slice", { value: slice }));
    target.run("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-256");
    return target;
  }

  #assertGoing(): void {
    if (this.#backup === 0) throw new AppError("canceled", "Cannot copy state: it was closed");
  }

  #check(code: number, wanted: number): void {
    invariant(code === wanted, `backup of present state goes on, got code ${code}`);
  }
}
