/**
 * The index of the history: made behind the records, from them alone, a part of some thousand at a
 * time, whenever so many have come. So it can lag, miss its oldest part or be gone, and the history
 * reads what it does not cover record by record. One part is made at a time, in slices.
 */
import { type Clock, nextTurn } from "../../shared/clock.ts";
import { errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Store } from "../../shared/store/port.ts";
import { historyStreams } from "./history_rows.ts";
import { decodeIndex, encodeIndex, type IndexedRecord, type IndexPart } from "./index_rows.ts";

/** Records of one part: a look reads at most so many that are not indexed yet. */
export const PART_ROWS = 2_048;
/** Records looked at in one go: a millisecond or two. */
const SLICE_ROWS = 128;
/** Between two slices goes so many times what one took: streams tend to be due together. */
const REST_FACTOR = 3;
/** Parts read in one go: some 100 kB. */
const SLICE_PARTS = 8;
/** Of the bytes of a stream, what its index may have: it takes about a twentieth. */
const SHARE = 8;

const log = roomLogger("edge", "twins");

export interface HistoryLimits {
  ttlMs: number;
  rowsMax: number;
  bytesMax: number;
}

function indexOf(stream: string): string {
  return stream.replace(/^twin_history\//, "twin_index/");
}

export class HistoryIndex {
  readonly #store: Store;
  readonly #clock: Clock;
  /** Records that came since the last look, by stream. */
  readonly #news = new Map<string, number>();
  readonly #due = new Set<string>();
  #running: Promise<void> | undefined;

  constructor(store: Store, clock: Clock, limits: HistoryLimits) {
    this.#store = store;
    this.#clock = clock;
    const streams = historyStreams();
    for (const stream of streams) {
      store.bulk.declare(indexOf(stream), {
        ttlMs: limits.ttlMs,
        rowsMax: Math.ceil(limits.rowsMax / streams.length / PART_ROWS) + 1,
        bytesMax: Math.ceil(limits.bytesMax / streams.length / SHARE),
      });
    }
  }

  /** A record came; when there are enough, they are indexed. */
  added(stream: string): void {
    const news = (this.#news.get(stream) ?? 0) + 1;
    if (news >= PART_ROWS) this.catchUp(stream);
    else this.#news.set(stream, news);
  }

  /** There are records that should be indexed by now. */
  catchUp(stream: string): void {
    this.#news.delete(stream);
    this.#due.add(stream);
    this.#running ??= this.#run();
  }

  /** Resolves when nothing is being indexed. */
  async settled(): Promise<void> {
    while (this.#running) await this.#running;
  }

  /** Parts of a stream in order, from the one that may hold an id greater than `after`. */
  *parts(stream: string, after: number): Generator<IndexPart> {
    const index = indexOf(stream);
    for (let at = -1;;) {
      const slice = this.#store.bulk.read<unknown>(index, { after: at, limit: SLICE_PARTS });
      for (const { id, value } of slice) {
        at = id;
        const part = decodeIndex(value);
        if (part && part.to > after) yield part;
      }
      if (slice.length < SLICE_PARTS) return;
    }
  }

  async #run(): Promise<void> {
    await undefined;
    try {
      for (const stream of this.#due) {
        this.#due.delete(stream);
        while (await this.#addPart(stream));
      }
    } catch (error) {
      // the disk refuses: what is not indexed is read record by record, and tried again later
      log.debug("Cannot index the history", { error: errorChain(error) });
      this.#due.clear();
    } finally {
      this.#running = undefined;
    }
  }

  async #rest(workedMs: number): Promise<void> {
    await nextTurn();
    const restMs = Math.floor(workedMs * REST_FACTOR);
    if (restMs > 0) await this.#clock.sleep(restMs);
  }

  /** Of the records behind the last part; false when they are too few. */
  async #addPart(stream: string): Promise<boolean> {
    const { bulk } = this.#store;
    const index = indexOf(stream);
    const [last] = bulk.read<unknown>(index, { limit: 1, newestFirst: true });
    const records: IndexedRecord[] = [];
    for (let after = decodeIndex(last?.value)?.to ?? -1; records.length < PART_ROWS;) {
      const beginMs = this.#clock.monotonicMs();
      const slice = bulk.readEncoded(stream, { after, limit: SLICE_ROWS });
      for (const { id, key, atMs } of slice) records.push({ id, key, atMs });
      if (slice.length < SLICE_ROWS) break;
      after = slice.at(-1)?.id ?? after;
      await this.#rest(this.#clock.monotonicMs() - beginMs);
    }
    if (records.length < PART_ROWS) {
      this.#news.set(stream, records.length);
      return false;
    }
    const value = encodeIndex(records);
    const atMs = value[5];
    await this.#store.commit([{ op: "append", stream: index, key: "part", value, atMs }]);
    return true;
  }
}
