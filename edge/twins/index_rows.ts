/**
 * How the index of the history lies in the store: for each few thousand records of a stream, which
 * of them are of which device. A row is `[format, from, to, rows, minAtMs, maxAtMs, hashes, ends,
 * places]`: hashes of device keys in order (32 bits each), where the places of each end, and the
 * places, ids as differences in a variable length. Two devices of one hash share their places: who
 * reads a record looks at its key anyway. Pure.
 */
import { APPENDS_PER_COMMIT_MAX } from "../../shared/store/port.ts";

const FORMAT = 1;

type Bytes = Uint8Array<ArrayBuffer>;

export type IndexRow = [
  ...[format: number, from: number, to: number, rows: number, minAtMs: number, maxAtMs: number],
  ...[hashes: Uint8Array, ends: Uint8Array, places: Uint8Array],
];

export interface IndexedRecord {
  id: number;
  key: string;
  atMs: number;
}

/** A part of a stream whose records are known by device. */
export interface IndexPart {
  /** First and last id. */
  from: number;
  to: number;
  rows: number;
  minAtMs: number;
  maxAtMs: number;
  /** Ids of a device's records, rising. */
  of(device: string): number[];
}

/** FNV-1a. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Of at least one record, in order of ids. */
export function encodeIndex(records: readonly IndexedRecord[]): IndexRow {
  const byHash = new Map<number, number[]>();
  let [minAtMs, maxAtMs] = [Infinity, -Infinity];
  for (const { id, key, atMs } of records) {
    const hash = hashOf(key);
    const ids = byHash.get(hash);
    if (ids) ids.push(id);
    else byHash.set(hash, [id]);
    minAtMs = Math.min(minAtMs, atMs);
    maxAtMs = Math.max(maxAtMs, atMs);
  }
  const hashes = [...byHash.keys()].sort((a, b) => a - b);
  const from = records[0]?.id ?? 0;
  const places: number[] = [];
  const ends = hashes.map((hash) => {
    writePlaces(places, from, byHash.get(hash) ?? []);
    return places.length;
  });
  return [
    ...[FORMAT, from, records.at(-1)?.id ?? 0, records.length, minAtMs, maxAtMs] as const,
    ...[toBytes(hashes), toBytes(ends), Uint8Array.from(places)] as const,
  ];
}

/** Undefined for what a later version wrote, or nobody: that part is read record by record. */
export function decodeIndex(row: unknown): IndexPart | undefined {
  if (!Array.isArray(row) || row[0] !== FORMAT) return undefined;
  const [, from, to, rows, minAtMs, maxAtMs, hashes, ends, places] = row as IndexRow; // format 1
  return {
    ...{ from, to, rows, minAtMs, maxAtMs },
    of: (device) => {
      const at = find(hashes, hashOf(device));
      if (at < 0) return [];
      return readPlaces(places, from, at === 0 ? 0 : read32(ends, at - 1), read32(ends, at));
    },
  };
}

function find(hashes: Uint8Array, wanted: number): number {
  let [low, high] = [0, hashes.length / 4 - 1];
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const hash = read32(hashes, middle);
    if (hash === wanted) return middle;
    if (hash < wanted) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

function toBytes(numbers: readonly number[]): Bytes {
  const view = new DataView(new ArrayBuffer(numbers.length * 4));
  numbers.forEach((number, i) => view.setUint32(i * 4, number, true));
  return new Uint8Array(view.buffer);
}

function read32(bytes: Uint8Array, index: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(index * 4, true);
}

/**
 * Ids of a part lie less than 2^52 apart. As a rule a commit has one record: then whole commits are
 * counted, and the last bit is 0.
 */
function writePlaces(places: number[], from: number, ids: readonly number[]): void {
  let before = from;
  for (const id of ids) {
    const ahead = id - before;
    const isWhole = ahead % APPENDS_PER_COMMIT_MAX === 0;
    let rest = isWhole ? ahead / APPENDS_PER_COMMIT_MAX * 2 : ahead * 2 + 1;
    for (; rest >= 128; rest = Math.floor(rest / 128)) places.push(rest % 128 + 128);
    places.push(rest);
    before = id;
  }
}

function readPlaces(places: Uint8Array, from: number, begin: number, end: number): number[] {
  const ids: number[] = [];
  let before = from;
  for (let at = begin; at < end;) {
    let value = 0;
    for (let scale = 1;; scale *= 128) {
      const byte = places[at++] ?? 0;
      value += byte % 128 * scale;
      if (byte < 128) break;
    }
    const isWhole = value % 2 === 0;
    before += isWhole ? value / 2 * APPENDS_PER_COMMIT_MAX : (value - 1) / 2;
    ids.push(before);
  }
  return ids;
}
