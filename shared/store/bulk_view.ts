/**
 * The view of the journal that holds the streams. Durable ops gather in a bounded buffer and go to
 * the bulk file in one transaction, together with the counts and the sequence they lead up to; a
 * record removed before that never reaches the file. Reads see file and buffer as one. A file that
 * is damaged is set aside, what it held is counted as `lost`, and a new one goes on; nothing stops.
 */
import type { Clock } from "../clock.ts";
import { AppError, errorChain, isAppError } from "../errors.ts";
import { roomLogger } from "../log.ts";
import { BulkBuffer, type Place } from "./bulk_buffer.ts";
import {
  type BulkFile,
  type BulkHead,
  type BulkOpener,
  type BulkRow,
  type BulkTransaction,
  rowBytes,
  rowsWithin,
} from "./bulk_file.ts";
import { addDrops, copyHead, emptyHead, loseAll, restore, streamOf } from "./bulk_head.ts";
import { applyToFile } from "./bulk_apply.ts";
import type { StoreLimits } from "./limits.ts";
import { BULK_NAME } from "./names.ts";
import type { RawOp } from "./ops.ts";
import {
  type Bulk,
  type BulkRange,
  type BulkRecord,
  recordId,
  type StreamPolicy,
  type StreamStats,
} from "./port.ts";
import type { SetAside } from "./set_aside.ts";
import type { ValueCodec } from "./value_codec.ts";

/** Rows looked at in one go by `verify`. */
const VERIFY_ROWS = 500;
/** Rows looked at in one go for the oldest that is held. */
const OLDEST_ROWS = 64;
/** Files up to this are read through when they are opened. */
const VERIFY_AT_OPEN_BYTES = 4 * 1024 * 1024;

const log = roomLogger("store");

export interface BulkViewOptions {
  dir: string;
  /** Without one, streams cannot be used. */
  opener: BulkOpener | undefined;
  clock: Clock;
  codec: ValueCodec;
  limits: StoreLimits;
  setAside: SetAside;
}

export class BulkView implements Bulk {
  readonly #options: BulkViewOptions;
  readonly #policies = new Map<string, StreamPolicy>();
  readonly #openedAtMs: number;
  readonly #buffer = new BulkBuffer();
  /** Per stream an id below the oldest record held. */
  readonly #before = new Map<string, number>();
  /** As of the last transaction. */
  #head: BulkHead;
  #baseUpMs = 0;
  #file: BulkFile | undefined;
  #syncing: Promise<void> | undefined;
  #fault: unknown;
  #damaged: string | undefined;
  #bytesWritten = 0;

  /** Opens the file where there is one. `mirror` is what present state knows of it. */
  static async open(options: BulkViewOptions, mirror: BulkHead | undefined): Promise<BulkView> {
    const view = new BulkView(options, mirror);
    await view.#openExisting();
    view.#baseUpMs = view.#head.upMs;
    return view;
  }

  private constructor(options: BulkViewOptions, mirror: BulkHead | undefined) {
    this.#options = options;
    this.#openedAtMs = options.clock.monotonicMs();
    this.#head = mirror ? copyHead(mirror) : emptyHead();
  }

  /** Every op up to here is in the file (which may not be durable yet). */
  get position(): number {
    return this.#head.position;
  }

  get problem(): string | undefined {
    return this.#fault === undefined ? undefined : errorChain(this.#fault);
  }

  get bytesWritten(): number {
    return this.#bytesWritten + (this.#file?.bytesWritten ?? 0);
  }

  get bufferedBytes(): number {
    return this.#buffer.bytes;
  }

  /** True while nothing was ever appended: there is no file and need be none. */
  get unused(): boolean {
    return !this.#file && this.#buffer.empty && Object.keys(this.#head.streams).length === 0;
  }

  /** For present state, so that a lost file can be counted. */
  mirror(): BulkHead {
    return copyHead(this.#head);
  }

  upMs(): number {
    const { clock } = this.#options;
    return Math.trunc(this.#baseUpMs + clock.monotonicMs() - this.#openedAtMs);
  }

  declare(stream: string, policy: StreamPolicy): void {
    this.#policies.set(stream, policy);
  }

  /** Throws unless an append may be taken; makes the file at the first one. */
  async prepare(): Promise<void> {
    const { dir, opener, limits } = this.#options;
    if (!opener) {
      throw new AppError("invalid", `Cannot append to store ${dir}: it has no bulk file`);
    }
    if (this.#damaged !== undefined) await this.#beginAnew(this.#damaged);
    if (!this.#file) await this.#make(opener);
    if (this.#buffer.bytes < limits.bulkBufferBytesMax) return;
    await this.#syncing?.catch(() => {}); // the flush below tells whether it can go on
    this.flush();
    if (this.#damaged !== undefined) await this.#beginAnew(this.#damaged);
    if (this.#buffer.bytes >= limits.bulkBufferBytesMax) throw this.#fault;
  }

  /** Tries again what failed, so that `problem` goes away with its cause. */
  async retry(): Promise<void> {
    if (this.#fault === undefined) return;
    try {
      await this.prepare();
      this.flush(true);
    } catch (error) {
      this.#fault = error;
    }
  }

  /** Takes the ops of a commit that is durable. */
  enqueue(sequence: number, ops: readonly RawOp[]): void {
    this.#buffer.add(sequence, ops, this.#placesOf);
  }

  /** For recovery: the ops of the journal that the file does not hold yet. */
  async replay(sequence: number, ops: readonly RawOp[]): Promise<void> {
    if (sequence <= this.#head.position) return;
    this.#buffer.add(sequence, ops.map(withOwnBytes), this.#placesOf);
    // operating time goes on where the journal left it
    const lastMs = ops.reduce((ms, op) => op[0] === 2 ? Math.max(ms, op[5]) : ms, 0);
    this.#baseUpMs = Math.max(this.#baseUpMs, lastMs);
    if (this.#buffer.bytes < this.#options.limits.bulkBufferBytesMax) return;
    if (!this.#options.opener) return this.#buffer.clear();
    if (!this.#file) await this.#make(this.#options.opener);
    this.flush();
  }

  /** Writes what waits when it is worth a transaction. */
  flushIfDue(): void {
    if (this.#buffer.bytes < this.#options.limits.bulkFlushBytes) return;
    this.flush();
    if (this.#file?.wantsSync) this.#syncInBackground();
  }

  /** Writes what waits; whatever prevents it is in `problem`, and the buffer keeps everything. */
  flush(force = false): void {
    if ((this.#buffer.empty && !force) || !this.#file || this.#file.busy) return;
    if (this.#damaged !== undefined) return;
    const head = copyHead(this.#head);
    head.position = Math.max(head.position, this.#buffer.sequence);
    head.upMs = this.upMs();
    try {
      this.#file.transact((tx) => this.#apply(tx, head));
      this.#head = head;
      this.#buffer.clear();
      this.#fault = undefined;
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Flushes, and resolves when everything so far is durable in the file; throws when it is not. */
  async sync(): Promise<void> {
    await this.#syncing?.catch(() => {}); // the flush below tells whether it can go on
    this.flush();
    if (this.#damaged !== undefined) await this.#beginAnew(this.#damaged);
    if (!this.#buffer.empty) throw this.#fault ?? new AppError("unavailable", "Bulk file is busy");
    await this.#fileSync();
  }

  expire(): void {
    const nowMs = this.upMs();
    for (const [stream, { ttlMs }] of this.#policies) {
      const oldest = this.#oldest(stream);
      if (oldest && nowMs - oldest.upMs > ttlMs) return this.flush(true);
    }
  }

  read<T>(stream: string, range: BulkRange): BulkRecord<T>[] {
    const rows = this.#rows(stream, range);
    const records: BulkRecord<T>[] = [];
    for (const { value, ...row } of rows) {
      try {
        const decoded = this.#options.codec.decode(stream, row.key, value) as T; // as it was stored
        records.push({ ...row, value: decoded });
      } catch (error) {
        log.warn("Record cannot be read", { stream, id: row.id, error: errorChain(error) });
        this.#buffer.drop(stream, row.id, "damaged");
      }
    }
    return records;
  }

  readEncoded(stream: string, range: BulkRange): BulkRecord<Uint8Array<ArrayBuffer>>[] {
    const records: BulkRecord<Uint8Array<ArrayBuffer>>[] = [];
    for (const { value, ...row } of this.#rows(stream, range)) {
      const plain = this.#options.codec.open(stream, row.key, value);
      if (plain) records.push({ ...row, value: plain });
      else this.#buffer.drop(stream, row.id, "damaged");
    }
    return records;
  }

  stats(stream: string): StreamStats {
    const head = this.#head.streams[stream];
    const { appends, appended, removed, late, dropped } = this.#buffer.counts(stream);
    const stats: StreamStats = {
      rows: (head?.rows ?? 0) + appended - removed - dropped,
      bytes: Math.max(0, (head?.bytes ?? 0) + appends),
      appended: (head?.appended ?? 0) + appended,
      removed: (head?.removed ?? 0) + removed + late,
      dropped: { ...head?.dropped },
      oldestAtMs: this.#oldest(stream)?.atMs,
    };
    if (late > 0) stats.dropped.lost = (stats.dropped.lost ?? 0) - late;
    if (dropped > 0) stats.dropped.damaged = (stats.dropped.damaged ?? 0) + dropped;
    return stats;
  }

  /**
   * Reads every stream through; a file in which something does not add up is set aside, and what
   * can be read of it goes into the new one. For files small enough to hold in memory.
   */
  async #verify(): Promise<void> {
    const salvage = new Map<string, BulkRow[]>();
    let what = this.#file?.check();
    for (
      const [stream, { number, rows: expected, sum: wanted }] of Object.entries(this.#head.streams)
    ) {
      const good: BulkRow[] = [];
      let sum = 0;
      for (let after = -1;;) {
        const range = { stream: number, after, fromMs: -Infinity, toMs: Infinity };
        const slice = this.#file?.rows({ ...range, newestFirst: false, limit: VERIFY_ROWS });
        sum = (sum ^ (slice?.sum ?? 0)) >>> 0;
        // a damaged page may show one record twice, and hide another
        for (const row of slice?.rows ?? []) {
          if (row.id > (good.at(-1)?.id ?? -1)) good.push(row);
          else what ??= "records are out of order";
        }
        if (slice?.damaged[0] !== undefined) what ??= "a record fails its checksum";
        const last = slice?.rows.at(-1);
        if (!last || last.id <= after) break;
        after = last.id;
      }
      if (good.length !== expected) what ??= `${stream}: ${good.length} of ${expected} records`;
      else if (sum !== wanted) what ??= `${stream}: other records than there should be`;
      // where a removed one came back with the damage, it is among the oldest
      salvage.set(stream, good.slice(Math.max(0, good.length - expected)));
    }
    if (what !== undefined) await this.#beginAnew(what, salvage);
  }

  async close(): Promise<void> {
    await this.#syncing?.catch(() => {}); // the journal keeps what is not in the file
    await this.sync().catch(() => {}); // as above
    this.#file?.close();
  }

  /**
   * The retained journal begins behind `sequence`: a file that ends before it has a gap that
   * nothing can fill, and counts as lost.
   */
  async requireFrom(sequence: number, mirror: BulkHead | undefined): Promise<void> {
    if (!mirror || this.#head.position >= Math.min(sequence, mirror.position)) return;
    // one that cannot be opened just now is not lost
    if (!this.#file && this.#fault !== undefined) return;
    const what = this.#file ? "bulk file ends before the journal begins" : "bulk file is gone";
    this.#head = copyHead(mirror);
    await this.#beginAnew(what);
  }

  /** What is missing in the file may still be in the journal: `requireFrom` judges that. */
  async #openExisting(): Promise<void> {
    const { opener, dir } = this.#options;
    try {
      if (!opener || !await opener.exists(dir)) return void (this.#head = emptyHead());
      this.#file = await opener.open(dir);
      this.#head = this.#file.head ? copyHead(this.#file.head) : emptyHead();
      if (this.#file.size > VERIFY_AT_OPEN_BYTES) return;
      await this.#verify();
    } catch (error) {
      if (isAppError(error, "internal")) return await this.#beginAnew(errorChain(error));
      // a disk that is full or read-only: the store opens, streams can wait
      this.#fault = error;
      log.warn("Bulk file cannot be opened", { dir, error: errorChain(error) });
    }
  }

  async #make(opener: BulkOpener): Promise<void> {
    try {
      this.#file = await opener.open(this.#options.dir);
      this.#fault = undefined;
    } catch (error) {
      this.#fault = error;
      if (!isAppError(error, "internal")) throw error;
      await this.#beginAnew(errorChain(error));
    }
  }

  /** Sets the file aside and begins a new one, with what was saved of the old; counts go on. */
  async #beginAnew(what: string, salvage?: ReadonlyMap<string, BulkRow[]>): Promise<void> {
    const { opener, setAside } = this.#options;
    this.#damaged = undefined;
    this.#before.clear();
    this.#closeFile();
    const [name, ...beside] = opener?.names ?? [];
    if (!opener || name === undefined) return;
    await setAside.bulk(name, beside, what);
    log.error("Bulk file is set aside, and begun anew", { what });
    loseAll(this.#head);
    await this.#make(opener);
    const head = copyHead(this.#head);
    this.#file?.transact((tx) => {
      for (const [stream, rows] of salvage ?? []) restore(streamOf(head, stream), tx, rows);
      return head;
    });
    this.#head = head;
  }

  #closeFile(): void {
    this.#bytesWritten += this.#file?.bytesWritten ?? 0;
    try {
      this.#file?.close();
    } catch (error) {
      log.debug("Damaged bulk file does not close", { error: errorChain(error) });
    }
    this.#file = undefined;
  }

  #apply(tx: BulkTransaction, head: BulkHead): BulkHead {
    applyToFile(tx, head, this.#buffer);
    for (const [stream, policy] of this.#policies) {
      const of = head.streams[stream];
      if (of) addDrops(of, tx, policy, head.upMs);
    }
    return head;
  }

  #rows(stream: string, range: BulkRange): BulkRow[] {
    const { after = -1, fromMs = -Infinity, toMs = Infinity, newestFirst = false, limit } = range;
    const waiting = this.#buffer.rows(stream).filter((row) =>
      row.id > after && row.atMs >= fromMs && row.atMs < toMs
    );
    const gone = this.#buffer.gone(stream);
    const number = this.#head.streams[stream]?.number;
    const stored: BulkRow[] = [];
    if (number !== undefined && this.#file && this.#damaged === undefined) {
      // of those that will not be there any more only the ones in this range take up room
      let goneIn = 0;
      for (const id of gone) if (id > after) goneIn++;
      try {
        const atMost = this.#rowsWithin(number, range, limit + goneIn, gone);
        if (atMost !== undefined) waiting.length = 0;
        const rowsMax = atMost ?? limit + goneIn;
        const asked = { stream: number, after, fromMs, toMs, newestFirst, limit: rowsMax };
        const { rows, damaged } = this.#file.rows(asked);
        for (const id of damaged) this.#dropDamaged(stream, id);
        for (const row of rows) if (!gone.has(row.id)) stored.push(row);
      } catch (error) {
        this.#failed(error);
      }
    }
    // what waits is younger than all that is stored
    const all = newestFirst ? [...waiting.reverse(), ...stored] : [...stored, ...waiting];
    const few = all.slice(0, limit);
    return few.slice(0, rowsWithin(few.map(rowBytes), range.bytesMax));
  }

  /**
   * How many rows of the file to read where bytes count, when that is fewer than there are: values
   * are not read into memory to be left out.
   */
  #rowsWithin(
    number: number,
    { after = -1, fromMs, toMs, newestFirst, bytesMax }: BulkRange,
    limit: number,
    gone: ReadonlySet<number>,
  ): number | undefined {
    if (bytesMax === undefined || newestFirst || fromMs !== undefined || toMs !== undefined) return;
    const facts = this.#file?.oldest(number, after, limit) ?? [];
    let bytes = 0;
    let first = true;
    const over = facts.findIndex((row) => {
      if (gone.has(row.id)) return false;
      bytes += row.bytes;
      const tooMuch = bytes > bytesMax && !first;
      first = false;
      return tooMuch;
    });
    return over < 0 ? undefined : over;
  }

  #dropDamaged(stream: string, id: number): void {
    if (this.#buffer.gone(stream).has(id)) return;
    this.#buffer.drop(stream, id, "damaged");
    this.#options.setAside.note(`record ${id} of ${stream} fails its checksum`, BULK_NAME);
  }

  #oldest(stream: string): { upMs: number; atMs: number } | undefined {
    const number = this.#head.streams[stream]?.number;
    const gone = this.#buffer.gone(stream);
    if (number !== undefined && this.#file && this.#damaged === undefined) {
      try {
        const found = this.#firstHeld(stream, number, gone);
        if (found) return found;
      } catch (error) {
        this.#failed(error);
      }
    }
    return this.#buffer.rows(stream)[0];
  }

  /** Where the records of a range are that do not wait. */
  #placesOf = (stream: string, from: number, to: number): (id: number) => Place => {
    const head = this.#head.streams[stream];
    if (!head) return () => "nowhere";
    let there: Set<number>;
    try {
      if (!this.#file || this.#damaged !== undefined) return () => "file";
      there = new Set(this.#file.ids(head.number, from, to));
    } catch (error) {
      this.#failed(error);
      return () => "file";
    }
    const lostBefore = (head.dropped.lost ?? 0) > 0 ? recordId(this.#head.lostThrough + 1, 0) : 0;
    return (id) => there.has(id) ? "file" : id < lostBefore ? "lost" : "nowhere";
  };

  /** Goes on from where it found one before: ids only rise. */
  #firstHeld(
    stream: string,
    number: number,
    gone: ReadonlySet<number>,
  ): { upMs: number; atMs: number } | undefined {
    let limit = 1; // as a rule the first is it
    for (let after = this.#before.get(stream) ?? -1;;) {
      const slice = this.#file?.oldest(number, after, limit) ?? [];
      const found = slice.find((row) => !gone.has(row.id));
      const last = slice.at(-1);
      if (found || !last) {
        this.#before.set(stream, found ? found.id - 1 : after);
        return found;
      }
      after = last.id;
      limit = OLDEST_ROWS;
    }
  }

  #failed(error: unknown): void {
    this.#fault = error;
    if (isAppError(error, "internal")) this.#damaged ??= errorChain(error);
    log.warn("Bulk file cannot be used", { error: errorChain(error) });
  }

  #syncInBackground(): void {
    // a failure is in `problem`, and the journal is not cut before a sync that worked
    void this.#fileSync().catch((error) => this.#failed(error));
  }

  async #fileSync(): Promise<void> {
    this.#syncing ??= this.#file?.sync().finally(() => this.#syncing = undefined);
    await this.#syncing;
  }
}

/** What is replayed is a view of its segment, which would stay in memory while this waits here. */
function withOwnBytes(op: RawOp): RawOp {
  if (op[0] !== 2) return op;
  const [kind, stream, key, value, atMs, upMs] = op;
  return [kind, stream, key, value.slice(), atMs, upMs];
}
