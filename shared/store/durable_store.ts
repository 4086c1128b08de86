/**
 * The store on disk. One pump owns the journal: it takes what waits, writes one frame, syncs once,
 * applies the commits to the present state and resolves them in order; a snapshot rotates the
 * journal inside the pump and is written outside it. Reads see the present state, which holds
 * durable commits only.
 *
 *     open -> (exhausted: that commit refused, goes on) -> failed (no more writes, reads go on)
 *       \_______________________________________________________\-> closed
 */
import { type Clock, nextTurn } from "../clock.ts";
import { AppError, errorChain, isAppError } from "../errors.ts";
import { roomLogger } from "../log.ts";
import type { BulkView } from "./bulk_view.ts";
import type { Disk, DiskLock } from "./disk.ts";
import { DiskHealth } from "./disk_health.ts";
import { Journal, type JournalOptions } from "./journal.ts";
import { encodeFrame } from "./journal_format.ts";
import { STORE_LIMITS, type StoreLimits } from "./limits.ts";
import { LOCK_NAME } from "./names.ts";
import type { StoreOptions, StoreStats } from "./options.ts";
import { encodeOps, type RawOp } from "./ops.ts";
import { appends, batchLength, type Pending } from "./pending.ts";
import type { Bulk, DiskProblem, ListOptions, RecoveryReport, Store, StoreOp } from "./port.ts";
import { encodeBatch } from "./records.ts";
import { type JournalPlan, MIRROR, recover, type Recovered, type Segment } from "./recover.ts";
import { planPrune, type SnapshotFile, writeSnapshot } from "./snapshots.ts";
import { loadSqlite } from "./sqlite_wasm.ts";
import type { SqliteState } from "./state.ts";
import { encodeCbor, PLAIN_CODEC, UNREADABLE, type ValueCodec } from "./value_codec.ts";

const log = roomLogger("store");

/** How much more journal there may be before a snapshot while the disk is spared. */
export const SPARING_FACTOR = 4;
/** Sequences passed over after an I/O error: more than one frame can hold. */
const FENCE = 65_536;

export async function openStore(options: StoreOptions): Promise<DurableStore> {
  const { dir, disk } = options;
  const limits = { ...STORE_LIMITS, ...options.limits };
  const { clock, codec = PLAIN_CODEC, bulk = disk.bulk } = options;
  await disk.ensureDir(dir);
  const lock = await disk.lock(`${dir}/${LOCK_NAME}`);
  try {
    const sqlite = await loadSqlite();
    const recovered = await recover({ disk, dir, sqlite, limits, clock, codec, bulk });
    for (const damage of recovered.report.damage) log.warn("Store is damaged", { dir, ...damage });
    return new DurableStore({ ...options, limits }, lock, recovered);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

export class DurableStore implements Store {
  readonly recovery: RecoveryReport;
  readonly #disk: Disk;
  readonly #dir: string;
  readonly #clock: Clock;
  readonly #limits: StoreLimits;
  readonly #codec: ValueCodec;
  readonly #lock: DiskLock;
  readonly #state: SqliteState;
  readonly #bulk: BulkView;
  readonly #journalOptions: JournalOptions;
  readonly #health: DiskHealth;
  #plan: JournalPlan;
  #journal: Journal | undefined;
  #segments: Segment[];
  #snapshots: SnapshotFile[];
  #pending: Pending[] = [];
  #pendingBytes = 0;
  #stateBytes: number;
  #last: number;
  #next: number;
  /** The bulk file holds, durably, everything up to here. */
  #bulkThrough: number;
  /** Position of the bulk file that present state knows. */
  #mirrored = 0;
  #closed = false;
  #sparing = false;
  #pump: Promise<void> | undefined;
  /** Settles when the snapshot being written, if any, is done. */
  #snapshotting: Promise<void> = Promise.resolve();
  #snapshotWaiters: PromiseWithResolvers<void>[] = [];
  #snapshotAtBytes: number;
  readonly #stats = {
    commits: 0,
    syncs: 0,
    written: { journal: 0, snapshot: 0 },
    journalBytes: 0,
    snapshots: 0,
    snapshotPauseMsMax: 0,
  };

  /** Use `openStore`. */
  constructor(
    options: StoreOptions & { limits: StoreLimits },
    lock: DiskLock,
    recovered: Recovered,
  ) {
    this.#disk = options.disk;
    this.#dir = options.dir;
    this.#clock = options.clock;
    this.#limits = options.limits;
    this.#codec = options.codec ?? PLAIN_CODEC;
    this.#lock = lock;
    this.#journalOptions = {
      disk: options.disk,
      dir: options.dir,
      chunkBytes: options.limits.journalChunkBytes,
    };
    this.#health = new DiskHealth(options.clock, options.dir);
    this.recovery = recovered.report;
    this.#state = recovered.state;
    this.#bulk = recovered.bulk;
    this.#bulkThrough = recovered.bulk.unused ? Infinity : 0;
    this.#stateBytes = recovered.state.bytes;
    this.#plan = recovered.journal;
    this.#segments = recovered.segments;
    this.#snapshots = recovered.snapshots;
    this.#last = recovered.report.lastSequence;
    this.#next = recovered.nextSequence;
    // counted from the snapshot, not from here: who is restarted often must come to the next one
    this.#snapshotAtBytes = 0;
    this.#raiseSnapshotMark();
    this.#stats.journalBytes = recovered.journalBytes;
    // after damage there is one good copy less of something: make a new one
    if (recovered.report.damage.length > 0 && this.#last > 0) this.#snapshotInBackground();
  }

  get lastSequence(): number {
    return this.#last;
  }

  get problem(): DiskProblem | undefined {
    return this.#health.problem;
  }

  get bulk(): Bulk {
    return this.#bulk;
  }

  get<T>(bucket: string, key: string): T | undefined {
    this.#assertOpen();
    const bytes = this.#state.get(bucket, key);
    const value = bytes && this.#codec.decode(bucket, key, bytes);
    // The caller names the type it stored under this bucket.
    return value === UNREADABLE ? undefined : value as T;
  }

  list<T>(bucket: string, options: ListOptions = {}): { key: string; value: T }[] {
    this.#assertOpen();
    return this.#state.list(bucket, options).map(({ key, value }) => ({
      key,
      value: this.#codec.decode(bucket, key, value) as T, // as in `get`
    })).filter((row) => row.value !== UNREADABLE);
  }

  count(bucket: string): number {
    this.#assertOpen();
    return this.#state.count(bucket);
  }

  unreadable(bucket: string): string[] {
    this.#assertOpen();
    return this.#state.list(bucket, {})
      .filter(({ key, value }) => this.#codec.decode(bucket, key, value) === UNREADABLE)
      .map((row) => row.key);
  }

  stats(): StoreStats {
    const written = { ...this.#stats.written, bulk: this.#bulk.bytesWritten };
    return {
      ...this.#stats,
      written,
      bytesWritten: written.journal + written.snapshot + written.bulk,
      syncMsMax: this.#health.writeMsMax,
      stateBytes: this.#stateBytes,
      pendingBytes: this.#pendingBytes,
    };
  }

  commit(ops: readonly StoreOp[]): Promise<number> {
    try {
      const pending = this.#accept(ops);
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      this.#pending.push({ ...pending, resolve, reject });
      this.#startPump();
      return promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  snapshot(): Promise<void> {
    const waiter = Promise.withResolvers<void>();
    const refusal = this.#refusal();
    if (refusal) waiter.reject(refusal);
    else {
      this.#snapshotWaiters.push(waiter);
      this.#startPump();
    }
    return waiter.promise;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#pump;
    await this.#snapshotting;
    this.#journal?.close();
    await this.#bulk.close();
    this.#state.close();
    await this.#lock.release();
  }

  /** Past the daily budget of writes: snapshots come more rarely, and a start replays more. */
  set sparing(on: boolean) {
    this.#sparing = on;
  }

  /**
   * Lets go of the memory without a word to the disk. For tests and simulation, which kill what
   * stands for a process and go on in the same one.
   */
  abandon(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#state.close();
  }

  #accept(ops: readonly StoreOp[]): { ops: RawOp[]; bytes: number } {
    const refusal = this.#refusal();
    if (refusal) throw refusal;
    const encoding = { codec: this.#codec, limits: this.#limits, upMs: this.#bulk.upMs() };
    const { raw, bytes } = encodeOps(ops, encoding);
    const { pendingBytesMax, stateBytesMax } = this.#limits;
    if (this.#pendingBytes + bytes > pendingBytesMax) {
      throw new AppError(
        "exhausted",
        `Cannot commit: waiting writes must be <= ${pendingBytesMax} bytes`,
        { dir: this.#dir },
      );
    }
    if (this.#stateBytes > stateBytesMax && raw.some((op) => op[0] === 0)) {
      throw new AppError(
        "exhausted",
        `Cannot commit: store must be <= ${stateBytesMax} bytes, is ${this.#stateBytes}`,
        { dir: this.#dir },
      );
    }
    this.#pendingBytes += bytes;
    return { ops: raw, bytes };
  }

  #startPump(): void {
    // `#run` catches everything; what it meets goes to those who wait
    this.#pump ??= Promise.resolve().then(() => this.#run());
  }

  async #run(): Promise<void> {
    while (this.#pending.length > 0 || this.#snapshotWaiters.length > 0) {
      if (this.#snapshotWaiters.length > 0) await this.#beginSnapshot();
      const batch = this.#takeBatch();
      if (batch.length > 0) await this.#write(batch);
      if (this.#stats.journalBytes >= this.#snapshotAtBytes && !this.#closed) {
        this.#raiseSnapshotMark();
        this.#snapshotInBackground();
      }
    }
    // in the same step as the check above: a commit that comes now starts a new pump
    this.#pump = undefined;
  }

  #takeBatch(): Pending[] {
    const count = batchLength(this.#pending, this.#limits.batchBytesMax);
    const batch = count === this.#pending.length ? this.#pending : this.#pending.slice(0, count);
    this.#pending = count === this.#pending.length ? [] : this.#pending.slice(count);
    return batch;
  }

  async #write(offered: readonly Pending[]): Promise<void> {
    let batch = offered;
    const first = this.#next;
    try {
      if (this.#health.isBroken) await this.#revive();
      batch = await this.#withBulk(offered);
      if (batch.length === 0) return;
      const start = this.#next;
      await this.#commitFrame(batch.map((pending) => pending.ops));
      this.#stats.commits += batch.length;
      batch.forEach((pending, i) => this.#settle(pending, () => pending.resolve(start + i)));
    } catch (error) {
      this.#health.failed(error);
      const named = this.#health.named(error);
      for (const pending of batch) this.#settle(pending, () => pending.reject(named));
      return;
    }
    if (this.#next > first) this.#bulk.flushIfDue();
  }

  /** Durable, then visible. */
  async #commitFrame(commits: RawOp[][]): Promise<void> {
    const first = this.#next;
    await this.#append(encodeFrame(encodeBatch({ seq: first, commits })));
    this.#state.apply(commits);
    commits.forEach((ops, i) => this.#bulk.enqueue(first + i, ops));
    this.#next = first + commits.length;
    this.#last = this.#next - 1;
    this.#stateBytes = this.#state.bytes;
  }

  /** Refuses those that append where the bulk file takes nothing; the others go on. */
  async #withBulk(batch: readonly Pending[]): Promise<readonly Pending[]> {
    if (batch.some((pending) => pending.ops.length === 0)) await this.#bulk.retry();
    if (!batch.some(appends)) return batch;
    try {
      await this.#bulk.prepare();
      if (this.#bulkThrough === Infinity) this.#bulkThrough = this.#last;
      return batch;
    } catch (error) {
      const refused = isAppError(error) ? error : this.#health.named(error);
      for (const pending of batch.filter(appends)) {
        this.#settle(pending, () => pending.reject(refused));
      }
      return batch.filter((pending) => !appends(pending));
    }
  }

  async #append(frame: Uint8Array): Promise<void> {
    const journal = this.#journal ??= await this.#openJournal();
    const before = journal.bytesWritten;
    try {
      await this.#health.writing(() => journal.append(frame));
      this.#health.wrote();
    } finally {
      this.#stats.written.journal += journal.bytesWritten - before;
    }
    this.#stats.syncs++;
    this.#stats.journalBytes += frame.length;
  }

  /** On the first write, so that a store on a full or read-only disk opens and serves reads. */
  async #openJournal(): Promise<Journal> {
    const plan = this.#plan;
    if (plan.kind === "resume") return await Journal.resume(this.#journalOptions, plan);
    return await this.#createJournal(plan.header.firstSequence, plan.header.baseSequence);
  }

  async #createJournal(firstSequence: number, baseSequence: number): Promise<Journal> {
    const header = { firstSequence, baseSequence };
    const journal = await this.#health.writing(() => Journal.create(this.#journalOptions, header));
    this.#stats.written.journal += journal.bytesWritten;
    const before = this.#segments.filter((s) => s.baseSequence < baseSequence);
    for (const { name } of this.#segments) {
      if (name === journal.name || before.some((s) => s.name === name)) continue;
      // all that counts in it is before the new one; what stays is fenced off
      await this.#disk.remove(`${this.#dir}/${name}`).catch(() => {});
    }
    this.#segments = [...before, { name: journal.name, ...header }];
    return journal;
  }

  /** Inside the pump: rotates the journal; the rest runs beside. */
  async #beginSnapshot(): Promise<void> {
    const waiters = this.#snapshotWaiters;
    this.#snapshotWaiters = [];
    await this.#snapshotting;
    let write: Promise<void>;
    try {
      if (this.#health.isBroken) await this.#revive();
      await this.#mirrorBulk();
      if (this.#last === 0 || this.#snapshots[0]?.sequence === this.#last) {
        for (const waiter of waiters) waiter.resolve();
        return;
      }
      await this.#rotate();
      this.#stats.journalBytes = 0;
      this.#raiseSnapshotMark();
      write = this.#writeSnapshot();
    } catch (error) {
      // A journal that may or may not be there would hide later commits: stop writing.
      if (isAppError(error, "internal") || !(error instanceof AppError)) this.#health.failed(error);
      for (const waiter of waiters) waiter.reject(this.#health.named(error));
      return;
    }
    this.#snapshotting = write.then(
      () => waiters.forEach((waiter) => waiter.resolve()),
      (error) => waiters.forEach((waiter) => waiter.reject(this.#health.named(error))),
    );
  }

  /** Puts the counts of the streams into present state, so that the snapshot carries them. */
  async #mirrorBulk(): Promise<void> {
    if (this.#bulk.unused) return;
    this.#bulk.flush();
    const mirror = this.#bulk.mirror();
    if (mirror.position === this.#mirrored) return;
    const value = encodeCbor(mirror);
    await this.#commitFrame([[[0, MIRROR.bucket, MIRROR.key, value]]]);
    this.#mirrored = mirror.position;
  }

  async #rotate(): Promise<void> {
    const newest = this.#segments.at(-1);
    if (this.#journal && newest?.baseSequence === this.#last) return;
    const journal = await this.#createJournal(this.#next, this.#last);
    this.#journal?.close();
    this.#journal = journal;
  }

  /** Copies the state out in slices; commits go on meanwhile, and those in time are in it. */
  async #writeSnapshot(): Promise<void> {
    while (this.#timed(() => this.#state.compactSome())) await nextTurn();
    const copy = this.#timed(() => this.#state.beginCopy());
    while (this.#timed(() => copy.copySome(this.#limits.snapshotSliceBytes))) await nextTurn();
    const sequence = this.#last;
    const bytes = this.#timed(() => copy.finish(sequence));
    const file = await writeSnapshot(this.#disk, this.#dir, sequence, bytes);
    this.#stats.snapshots++;
    this.#stats.written.snapshot += bytes.length;
    this.#snapshots = [file, ...this.#snapshots];
    await this.#syncBulk(sequence);
    const prune = planPrune(this.#snapshots, this.#segments, this.#bulkThrough);
    for (const { name } of [...prune.snapshots, ...prune.segments]) {
      await this.#disk.remove(`${this.#dir}/${name}`);
      this.#snapshots = this.#snapshots.filter((s) => s.name !== name);
      this.#segments = this.#segments.filter((s) => s.name !== name);
    }
  }

  /** Runs one slice of a snapshot; nothing else runs meanwhile. */
  #timed<T>(slice: () => T): T {
    const startMs = this.#clock.monotonicMs();
    const result = slice();
    const pauseMs = this.#clock.monotonicMs() - startMs;
    this.#stats.snapshotPauseMsMax = Math.max(this.#stats.snapshotPauseMsMax, pauseMs);
    return result;
  }

  /** The journal is cut only behind what the bulk file holds as well. */
  async #syncBulk(sequence: number): Promise<void> {
    if (this.#bulkThrough === Infinity) return;
    try {
      await this.#bulk.sync();
      this.#bulkThrough = Math.max(this.#bulkThrough, sequence);
    } catch (error) {
      log.warn("Journal is kept: bulk file cannot be synced", { error: errorChain(error) });
    }
  }

  #snapshotInBackground(): void {
    void this.snapshot().catch((error) => {
      // The journal keeps everything meanwhile; the next mark tries again.
      log.warn("Cannot take snapshot", { dir: this.#dir, error: String(error) });
    });
  }

  #raiseSnapshotMark(): void {
    this.#snapshotAtBytes = this.#stats.journalBytes +
      Math.max(this.#limits.snapshotAfterBytes, this.#stateBytes) *
        (this.#sparing ? SPARING_FACTOR : 1);
  }

  #settle(pending: Pending, act: () => void): void {
    this.#pendingBytes -= pending.bytes;
    act();
  }

  /**
   * Goes on after an I/O error in a new segment, which fences off what the failed write may have
   * left: its commits were refused and must not come back.
   */
  async #revive(): Promise<void> {
    const refusal = this.#health.refusal;
    if (refusal) throw refusal;
    const journal = await this.#createJournal(this.#next + FENCE, this.#last);
    this.#journal?.close();
    this.#journal = journal;
    this.#next += FENCE;
    this.#health.revived();
    log.info("Store writes again", { dir: this.#dir, after: this.#last });
  }

  #refusal(): AppError | undefined {
    if (!this.#closed) return this.#health.refusal;
    return new AppError("unavailable", `Cannot write to store ${this.#dir}: it is closed`);
  }

  #assertOpen(): void {
    if (this.#closed) {
      throw new AppError("unavailable", `Cannot read from store ${this.#dir}: it is closed`);
    }
  }
}
