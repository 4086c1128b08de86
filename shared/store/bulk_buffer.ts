/**
 * Ops on streams that are durable in the journal and not yet in the bulk file. A record removed
 * while it still waits leaves only its counts behind.
 */
import { type BulkRow, rowBytes } from "./bulk_file.ts";
import { isBulkOp, type RawOp } from "./ops.ts";
import { recordId } from "./port.ts";

/** What a waiting op costs beside its value. */
const OVERHEAD_BYTES = 100;

export interface StreamBuffer {
  rows: Map<number, BulkRow>;
  removed: Set<number>;
  /** Removed, but gone with an earlier file: not lost after all. */
  late: Set<number>;
  /** Ids to be dropped, with their reason. */
  dropped: Map<number, string>;
  /** Records that came and went without touching the file. */
  passed: number;
}

export interface BufferCounts {
  /** Bytes of the rows that wait. */
  appends: number;
  appended: number;
  removed: number;
  late: number;
  dropped: number;
}

export type Place = "file" | "lost" | "nowhere";
/** Where the records of a range of ids are that do not wait. */
type PlacesOf = (stream: string, from: number, to: number) => (id: number) => Place;

export class BulkBuffer {
  readonly streams = new Map<string, StreamBuffer>();
  #sequence = 0;
  #bytes = 0;

  /** Everything up to here is in the buffer or in the file. */
  get sequence(): number {
    return this.#sequence;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get empty(): boolean {
    return this.streams.size === 0;
  }

  /** `places` tells of records that are not here: in the file, gone with one, or neither. */
  add(sequence: number, ops: readonly RawOp[], places: PlacesOf = () => () => "file"): void {
    let index = 0;
    for (const op of ops) {
      if (!isBulkOp(op)) continue;
      const buffer = this.#of(op[1]);
      if (op[0] === 2) {
        const [, , key, value, atMs, upMs] = op;
        const row = { id: recordId(sequence, index++), atMs, upMs, key, value };
        buffer.rows.set(row.id, row);
        this.#bytes += rowBytes(row) + OVERHEAD_BYTES;
        continue;
      }
      const ranges = op[2];
      for (let i = 0; i + 1 < ranges.length; i += 2) {
        const [from, to] = [ranges[i]!, ranges[i + 1]!]; // in pairs
        let placeOf: ((id: number) => Place) | undefined;
        for (let id = from; id <= to; id++) {
          this.#remove(buffer, id, () => (placeOf ??= places(op[1], id, to))(id));
        }
      }
    }
    this.#sequence = Math.max(this.#sequence, sequence);
  }

  drop(stream: string, id: number, reason: string): void {
    this.#of(stream).dropped.set(id, reason);
  }

  /** Rows that wait, oldest first. */
  rows(stream: string): BulkRow[] {
    const buffer = this.streams.get(stream);
    return buffer ? [...buffer.rows.values()] : [];
  }

  /** Ids that are in the file and will not be. */
  gone(stream: string): ReadonlySet<number> {
    const buffer = this.streams.get(stream);
    if (!buffer) return NOTHING;
    return buffer.dropped.size === 0
      ? buffer.removed
      : new Set([...buffer.removed, ...buffer.dropped.keys()]);
  }

  counts(stream: string): BufferCounts {
    const buffer = this.streams.get(stream);
    if (!buffer) return { appends: 0, appended: 0, removed: 0, late: 0, dropped: 0 };
    return {
      appends: buffer.rows.values().reduce((sum, row) => sum + rowBytes(row), 0),
      appended: buffer.rows.size + buffer.passed,
      removed: buffer.removed.size + buffer.passed,
      late: buffer.late.size,
      dropped: buffer.dropped.size,
    };
  }

  clear(): void {
    this.streams.clear();
    this.#bytes = 0;
  }

  #remove(buffer: StreamBuffer, id: number, place: () => Place): void {
    const row = buffer.rows.get(id);
    if (row) {
      buffer.rows.delete(id);
      buffer.passed++;
      this.#bytes -= rowBytes(row);
      return;
    }
    if (buffer.removed.has(id)) return;
    const where = place();
    if (where === "nowhere") return;
    if (where === "lost") buffer.late.add(id);
    else buffer.removed.add(id);
    buffer.dropped.delete(id);
    this.#bytes += OVERHEAD_BYTES;
  }

  #of(stream: string): StreamBuffer {
    let buffer = this.streams.get(stream);
    if (!buffer) {
      buffer = {
        rows: new Map(),
        removed: new Set(),
        late: new Set(),
        dropped: new Map(),
        passed: 0,
      };
      this.streams.set(stream, buffer);
    }
    return buffer;
  }
}

const NOTHING: ReadonlySet<number> = new Set();
