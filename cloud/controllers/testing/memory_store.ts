/** A store in memory that can be told to refuse writes, for the controllers' unit tests. */
import type { ListOptions, RecoveryReport, Store, StoreOp } from "../../../shared/store/port.ts";

export class MemoryStore implements Store {
  readonly recovery: RecoveryReport = { lastSequence: 0, replayed: 0, tornBytes: 0, damage: [] };
  lastSequence = 0;
  /** Awaited before each commit; throws to refuse it. */
  beforeCommit: () => Promise<void> | void = () => {};
  readonly #buckets = new Map<string, Map<string, unknown>>();

  get<T>(bucket: string, key: string): T | undefined {
    return this.#buckets.get(bucket)?.get(key) as T | undefined; // callers know their buckets
  }

  list<T>(bucket: string, options: ListOptions = {}): { key: string; value: T }[] {
    return [...this.#buckets.get(bucket) ?? []]
      .filter(([key]) => key.startsWith(options.prefix ?? "") && key > (options.after ?? ""))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, options.limit ?? Infinity)
      .map(([key, value]) => ({ key, value: value as T })); // callers know their buckets
  }

  count(bucket: string): number {
    return this.#buckets.get(bucket)?.size ?? 0;
  }

  async commit(ops: readonly StoreOp[]): Promise<number> {
    await this.beforeCommit();
    for (const op of ops) {
      let bucket = this.#buckets.get(op.bucket);
      if (!bucket) this.#buckets.set(op.bucket, bucket = new Map());
      if (op.op === "put") bucket.set(op.key, structuredClone(op.value));
      else bucket.delete(op.key);
    }
    return ++this.lastSequence;
  }

  snapshot(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
