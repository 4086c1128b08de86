/**
 * The store without a disk, for unit tests of other rooms: the same checks, the same copying of
 * values and the same order of keys and commits, nothing durable. `failNext` makes a commit fail
 * the way a disk would.
 */
import type { Clock } from "../clock.ts";
import { AppError } from "../errors.ts";
import { STORE_LIMITS, type StoreLimits } from "./limits.ts";
import { MemoryBulk } from "./memory_bulk.ts";
import { compareKeys, encodeOps, type RawOp } from "./ops.ts";
import type { ListOptions, RecoveryReport, Store, StoreOp } from "./port.ts";
import { PLAIN_CODEC, UNREADABLE, type ValueCodec } from "./value_codec.ts";

export class MemoryStore implements Store {
  readonly recovery: RecoveryReport = { lastSequence: 0, replayed: 0, tornBytes: 0, damage: [] };
  readonly bulk: MemoryBulk;
  readonly #buckets = new Map<string, Map<string, Uint8Array<ArrayBuffer>>>();
  readonly #limits: StoreLimits;
  readonly #codec: ValueCodec;
  #tail: Promise<unknown> = Promise.resolve();
  #last = 0;
  #failure: AppError | undefined;
  #closed = false;

  /** Without a clock the operating time stands still, and no record is ever too old. */
  constructor(
    options: { limits?: Partial<StoreLimits>; codec?: ValueCodec; clock?: Clock } = {},
  ) {
    this.#limits = { ...STORE_LIMITS, ...options.limits };
    this.#codec = options.codec ?? PLAIN_CODEC;
    this.bulk = new MemoryBulk(this.#codec, options.clock);
  }

  get lastSequence(): number {
    return this.#last;
  }

  /** The next commit to reach the "disk" fails with `error`, and only that one. */
  failNext(error: AppError): void {
    this.#failure = error;
  }

  get<T>(bucket: string, key: string): T | undefined {
    this.#assertOpen("read");
    const bytes = this.#buckets.get(bucket)?.get(key);
    // The caller names the type it stored under this bucket.
    const value = bytes && this.#codec.decode(bucket, key, bytes.slice());
    return value === UNREADABLE ? undefined : value as T;
  }

  list<T>(bucket: string, options: ListOptions = {}): { key: string; value: T }[] {
    this.#assertOpen("read");
    const { prefix = "", after, limit = Infinity } = options;
    return [...this.#buckets.get(bucket) ?? []]
      .filter(([key]) => key.startsWith(prefix))
      .filter(([key]) => after === undefined || compareKeys(key, after) > 0)
      .sort(([a], [b]) => compareKeys(a, b))
      .slice(0, limit)
      .map(([key, bytes]) => ({
        key,
        value: this.#codec.decode(bucket, key, bytes.slice()) as T, // as in `get`
      })).filter((row) => row.value !== UNREADABLE);
  }

  count(bucket: string): number {
    this.#assertOpen("read");
    return this.#buckets.get(bucket)?.size ?? 0;
  }

  unreadable(bucket: string): string[] {
    return [...this.#buckets.get(bucket) ?? []]
      .filter(([key, bytes]) => this.#codec.decode(bucket, key, bytes.slice()) === UNREADABLE)
      .map(([key]) => key);
  }

  commit(ops: readonly StoreOp[]): Promise<number> {
    try {
      this.#assertOpen("write");
      const { raw } = encodeOps(ops, {
        codec: this.#codec,
        limits: this.#limits,
        upMs: this.bulk.upMs(),
      });
      // one turn of the microtask queue stands for the disk
      const done = this.#tail.then(() => this.#apply(raw));
      // the caller has the failure; the next commit only waits its turn
      this.#tail = done.catch(() => {});
      return done;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  snapshot(): Promise<void> {
    return Promise.resolve();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#tail;
    this.bulk.close();
  }

  #apply(ops: readonly RawOp[]): number {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
    for (const op of ops) {
      if (op[0] >= 2) continue;
      const bucket = this.#buckets.get(op[1]) ?? new Map();
      this.#buckets.set(op[1], bucket);
      if (op[0] === 0) bucket.set(op[2], op[3]);
      else bucket.delete(op[2]);
    }
    this.bulk.apply(++this.#last, ops);
    return this.#last;
  }

  #assertOpen(verb: string): void {
    if (this.#closed) throw new AppError("unavailable", `Cannot ${verb}: store is closed`);
  }
}
