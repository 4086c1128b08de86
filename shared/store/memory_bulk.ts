/** Streams in memory, for `MemoryStore`: the same rules on SQL in memory, without a buffer. */
import type { Clock } from "../clock.ts";
import { applyToFile } from "./bulk_apply.ts";
import { BulkBuffer } from "./bulk_buffer.ts";
import { type BulkRow, rowBytes, rowsWithin } from "./bulk_file.ts";
import { addDrops, copyHead, emptyHead } from "./bulk_head.ts";
import { NativeBulk } from "./native_bulk.ts";
import type { RawOp } from "./ops.ts";
import type { Bulk, BulkRange, BulkRecord, StreamPolicy, StreamStats } from "./port.ts";
import type { ValueCodec } from "./value_codec.ts";

export class MemoryBulk implements Bulk {
  readonly problem: undefined = undefined;
  readonly #codec: ValueCodec;
  readonly #clock: Clock | undefined;
  readonly #policies = new Map<string, StreamPolicy>();
  /** Opened at the first record, so that who needs none pays nothing. */
  #file: NativeBulk | undefined;
  #head = emptyHead();

  constructor(codec: ValueCodec, clock: Clock | undefined) {
    this.#codec = codec;
    this.#clock = clock;
  }

  upMs(): number {
    return Math.trunc(this.#clock?.monotonicMs() ?? 0);
  }

  declare(stream: string, policy: StreamPolicy): void {
    this.#policies.set(stream, policy);
  }

  apply(sequence: number, ops: readonly RawOp[]): void {
    const buffer = new BulkBuffer();
    buffer.add(sequence, ops);
    if (!buffer.empty) this.#write(buffer);
  }

  expire(): void {
    if (this.#file) this.#write(new BulkBuffer());
  }

  read<T>(stream: string, range: BulkRange): BulkRecord<T>[] {
    return this.#rows(stream, range).map(({ value, ...row }) => ({
      ...row,
      value: this.#codec.decode(stream, row.key, value) as T, // as it was stored
    }));
  }

  readEncoded(stream: string, range: BulkRange): BulkRecord<Uint8Array<ArrayBuffer>>[] {
    return this.#rows(stream, range).flatMap(({ value, ...row }) => {
      const plain = this.#codec.open(stream, row.key, value);
      return plain ? [{ ...row, value: plain }] : [];
    });
  }

  stats(stream: string): StreamStats {
    const head = this.#head.streams[stream];
    if (!head || !this.#file) {
      return { rows: 0, bytes: 0, appended: 0, removed: 0, dropped: {}, oldestAtMs: undefined };
    }
    const { number, dropped, ...counts } = head;
    const oldestAtMs = this.#file.oldest(number, -1, 1)[0]?.atMs;
    return { ...counts, dropped: { ...dropped }, oldestAtMs };
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #rows(stream: string, range: BulkRange): BulkRow[] {
    const { after = -1, fromMs = -Infinity, toMs = Infinity, newestFirst = false, limit } = range;
    const number = this.#head.streams[stream]?.number;
    if (number === undefined || !this.#file) return [];
    const asked = { stream: number, after, fromMs, toMs, newestFirst, limit };
    const { rows } = this.#file.rows(asked);
    return rows.slice(0, rowsWithin(rows.map(rowBytes), range.bytesMax));
  }

  #write(buffer: BulkBuffer): void {
    this.#file ??= NativeBulk.open(":memory:");
    const head = copyHead(this.#head);
    head.upMs = this.upMs();
    this.#file.transact((tx) => {
      applyToFile(tx, head, buffer);
      for (const [stream, policy] of this.#policies) {
        const of = head.streams[stream];
        if (of) addDrops(of, tx, policy, head.upMs);
      }
      return head;
    });
    this.#head = head;
  }
}
