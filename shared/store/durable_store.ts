/**
 * The store on disk. One pump owns the journal: it takes what waits, writes one frame, syncs once,
 * applies the commits to the present state and resolves them in order; a snapshot rotates the
 * journal inside the pump and is written outside it. Reads see the present state, which holds
 * durable commits only.
 *
 *     open -> (exhausted: that commit refused, goes on) -> failed (no more writes, reads go on)
 *       \_______________________________________________________\-> closed
 */
import type { Clock } from "../clock.ts";
import { AppError, isAppError } from "../errors.ts";
import { roomLogger } from "../log.ts";
import type { Disk, DiskLock } from "./disk.ts";
import { Journal, type JournalOptions } from "./journal.ts";
import { encodeFrame } from "./journal_format.ts";
import { STORE_LIMITS, type StoreLimits } from "./limits.ts";
import { LOCK_NAME } from "./names.ts";
import { encodeOps, type RawOp } from "./ops.ts";
import type { ListOptions, RecoveryReport, Store, StoreOp } from "./port.ts";
import { encodeBatch } from "./records.ts";
import { type JournalPlan, recover, type Recovered, type Segment } from "./recover.ts";
import { planPrune, type SnapshotFile, writeSnapshot } from "./snapshots.ts";
import { loadSqlite } from "./sqlite_wasm.ts";
import type { SqliteState } from "./state.ts";
import { PLAIN_CODEC, type ValueCodec } from "./value_codec.ts";

const log = roomLogger("store");

export interface StoreOptions {
  /** Made where it is missing. One store per folder, held by a lock. */
  dir: string;
  disk: Disk;
  clock: Clock;
  limits?: Partial<StoreLimits>;
  /** How values become bytes; sealing at rest goes here. */
  codec?: ValueCodec;
}

export interface StoreStats {
  commits: number;
  /** Syncs of the journal: commits per sync is the gain of group commit. */
  syncs: number;
  syncMsMax: number;
  /** Bytes handed to the disk since open: journal, room written ahead, snapshots. */
  bytesWritten: number;
  /** Journal bytes since the last snapshot. */
  journalBytes: number;
  stateBytes: number;
  snapshots: number;
  pendingBytes: number;
}

interface Pending {
  ops: RawOp[];
  bytes: number;
  resolve(sequence: number): void;
  reject(error: unknown): void;
}

export async function openStore(options: StoreOptions): Promise<DurableStore> {
  const { dir, disk } = options;
  const limits = { ...STORE_LIMITS, ...options.limits };
  await disk.ensureDir(dir);
  const lock = await disk.lock(`${dir}/${LOCK_NAME}`);
  try {
    const recovered = await recover(disk, dir, await loadSqlite(), limits);
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
  readonly #journalOptions: JournalOptions;
  #plan: JournalPlan;
  #journal: Journal | undefined;
  #segments: Segment[];
  #snapshots: SnapshotFile[];
  #pending: Pending[] = [];
  #pendingBytes = 0;
  #stateBytes: number;
  #last: number;
  #next: number;
  #failure: unknown;
  #closed = false;
  #pump: Promise<void> | undefined;
  /** Settles when the snapshot being written, if any, is done. */
  #snapshotting: Promise<void> = Promise.resolve();
  #snapshotWaiters: PromiseWithResolvers<void>[] = [];
  #snapshotAtBytes: number;
  readonly #stats = {
    commits: 0,
    syncs: 0,
    syncMsMax: 0,
    bytesWritten: 0,
    journalBytes: 0,
    snapshots: 0,
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
    this.recovery = recovered.report;
    this.#state = recovered.state;
    this.#stateBytes = recovered.state.bytes;
    this.#plan = recovered.journal;
    this.#segments = recovered.segments;
    this.#snapshots = recovered.snapshots;
    this.#last = recovered.report.lastSequence;
    this.#next = recovered.nextSequence;
    this.#stats.journalBytes = recovered.journalBytes;
    this.#snapshotAtBytes = 0;
    this.#raiseSnapshotMark();
    // after damage there is one good copy less of something: make a new one
    if (recovered.report.damage.length > 0 && this.#last > 0) this.#snapshotInBackground();
  }

  get lastSequence(): number {
    return this.#last;
  }

  get<T>(bucket: string, key: string): T | undefined {
    this.#assertOpen();
    const bytes = this.#state.get(bucket, key);
    // The caller names the type it stored under this bucket.
    return bytes && this.#codec.decode(bucket, key, bytes) as T;
  }

  list<T>(bucket: string, options: ListOptions = {}): { key: string; value: T }[] {
    this.#assertOpen();
    return this.#state.list(bucket, options).map(({ key, value }) => ({
      key,
      value: this.#codec.decode(bucket, key, value) as T, // as in `get`
    }));
  }

  count(bucket: string): number {
    this.#assertOpen();
    return this.#state.count(bucket);
  }

  stats(): StoreStats {
    return { ...this.#stats, stateBytes: this.#stateBytes, pendingBytes: this.#pendingBytes };
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
    if (this.#closed || this.#failure) waiter.reject(this.#refusal());
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
    this.#state.close();
    await this.#lock.release();
  }

  #accept(ops: readonly StoreOp[]): { ops: RawOp[]; bytes: number } {
    if (this.#closed || this.#failure) throw this.#refusal();
    const { raw, bytes } = encodeOps(ops, this.#codec, this.#limits);
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

  /** As many of the oldest commits as share a frame; at least one where there is one. */
  #takeBatch(): Pending[] {
    let bytes = 0;
    let count = 0;
    for (const pending of this.#pending) {
      if (count > 0 && bytes + pending.bytes > this.#limits.batchBytesMax) break;
      bytes += pending.bytes;
      count++;
    }
    const batch = count === this.#pending.length ? this.#pending : this.#pending.slice(0, count);
    this.#pending = count === this.#pending.length ? [] : this.#pending.slice(count);
    return batch;
  }

  async #write(batch: readonly Pending[]): Promise<void> {
    const first = this.#next;
    try {
      if (this.#failure) throw this.#refusal();
      const commits = batch.map((pending) => pending.ops);
      await this.#append(encodeFrame(encodeBatch({ seq: first, commits })));
      this.#state.apply(commits);
      this.#next = first + batch.length;
      this.#last = this.#next - 1;
      this.#stats.commits += batch.length;
      this.#stateBytes = this.#state.bytes;
    } catch (error) {
      if (!isAppError(error, "exhausted")) this.#fail(error);
      for (const pending of batch) this.#settle(pending, () => pending.reject(this.#named(error)));
      return;
    }
    batch.forEach((pending, i) => this.#settle(pending, () => pending.resolve(first + i)));
  }

  async #append(frame: Uint8Array): Promise<void> {
    const journal = this.#journal ??= await this.#openJournal();
    const startMs = this.#clock.monotonicMs();
    const before = journal.bytesWritten;
    try {
      await journal.append(frame);
    } finally {
      this.#stats.bytesWritten += journal.bytesWritten - before;
    }
    this.#stats.syncs++;
    this.#stats.journalBytes += frame.length;
    this.#stats.syncMsMax = Math.max(
      this.#stats.syncMsMax,
      this.#clock.monotonicMs() - startMs,
    );
  }

  /** On the first write, so that a store on a full or read-only disk opens and serves reads. */
  async #openJournal(): Promise<Journal> {
    const plan = this.#plan;
    if (plan.kind === "resume") return await Journal.resume(this.#journalOptions, plan);
    return await this.#createJournal(plan.header.firstSequence, plan.header.baseSequence);
  }

  async #createJournal(firstSequence: number, baseSequence: number): Promise<Journal> {
    const header = { firstSequence, baseSequence };
    const journal = await Journal.create(this.#journalOptions, header);
    this.#stats.bytesWritten += journal.bytesWritten;
    this.#segments = [
      ...this.#segments.filter((s) => s.baseSequence < baseSequence),
      { name: journal.name, ...header },
    ];
    return journal;
  }

  /** Inside the pump: rotates the journal and copies the state out; the rest runs beside. */
  async #beginSnapshot(): Promise<void> {
    const waiters = this.#snapshotWaiters;
    this.#snapshotWaiters = [];
    await this.#snapshotting;
    let write: Promise<void>;
    try {
      if (this.#failure) throw this.#refusal();
      const sequence = this.#last;
      if (sequence === 0 || this.#snapshots[0]?.sequence === sequence) {
        for (const waiter of waiters) waiter.resolve();
        return;
      }
      await this.#rotate();
      this.#state.compact();
      const bytes = this.#state.export(sequence);
      this.#stats.journalBytes = 0;
      this.#raiseSnapshotMark();
      write = this.#finishSnapshot(sequence, bytes);
    } catch (error) {
      // A journal that may or may not be there would hide later commits: stop writing.
      if (isAppError(error, "internal") || !(error instanceof AppError)) this.#fail(error);
      for (const waiter of waiters) waiter.reject(this.#named(error));
      return;
    }
    this.#snapshotting = write.then(
      () => waiters.forEach((waiter) => waiter.resolve()),
      (error) => waiters.forEach((waiter) => waiter.reject(this.#named(error))),
    );
  }

  async #rotate(): Promise<void> {
    const newest = this.#segments.at(-1);
    if (this.#journal && newest?.baseSequence === this.#last) return;
    const journal = await this.#createJournal(this.#next, this.#last);
    this.#journal?.close();
    this.#journal = journal;
  }

  async #finishSnapshot(sequence: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const file = await writeSnapshot(this.#disk, this.#dir, sequence, bytes);
    this.#stats.snapshots++;
    this.#stats.bytesWritten += bytes.length;
    this.#snapshots = [file, ...this.#snapshots];
    const prune = planPrune(this.#snapshots, this.#segments);
    for (const { name } of [...prune.snapshots, ...prune.segments]) {
      await this.#disk.remove(`${this.#dir}/${name}`);
      this.#snapshots = this.#snapshots.filter((s) => s.name !== name);
      this.#segments = this.#segments.filter((s) => s.name !== name);
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
      Math.max(this.#limits.snapshotAfterBytes, this.#stateBytes);
  }

  #settle(pending: Pending, act: () => void): void {
    this.#pendingBytes -= pending.bytes;
    act();
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
  }

  #named(error: unknown): AppError {
    const code = isAppError(error, "exhausted") ? "exhausted" : "unavailable";
    const what = code === "exhausted" ? "disk is full" : "disk failed";
    return new AppError(code, `Cannot write to store ${this.#dir}: ${what}`, { dir: this.#dir }, {
      cause: error,
    });
  }

  #refusal(): AppError {
    return this.#closed && !this.#failure
      ? new AppError("unavailable", `Cannot write to store ${this.#dir}: it is closed`)
      : this.#named(this.#failure);
  }

  #assertOpen(): void {
    if (this.#closed) {
      throw new AppError("unavailable", `Cannot read from store ${this.#dir}: it is closed`);
    }
  }
}
