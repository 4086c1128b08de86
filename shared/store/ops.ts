/**
 * Commits as the journal carries them: checked, bounded, and with values already in bytes, so that
 * what the caller does to its objects afterwards changes nothing. Pure.
 */
import { AppError } from "../errors.ts";
import { BUCKET_BYTES_MAX, KEY_BYTES_MAX, type StoreLimits } from "./limits.ts";
import { APPENDS_PER_COMMIT_MAX, type StoreOp } from "./port.ts";
import type { ValueCodec } from "./value_codec.ts";

/**
 * `[0, bucket, key, value]` puts, `[1, bucket, key]` deletes: present state. `[2, stream, key,
 * value, atMs, upMs]` appends, `[3, stream, [from, to, from, to ...]]` removes records by ranges
 * of consecutive ids: bulk, since journal format 2. Other kinds are for later.
 */
export type StateOp =
  | [kind: 0, bucket: string, key: string, value: Uint8Array<ArrayBuffer>]
  | [kind: 1, bucket: string, key: string];
export type BulkOp =
  | [
    kind: 2,
    stream: string,
    key: string,
    value: Uint8Array<ArrayBuffer>,
    atMs: number,
    upMs: number,
  ]
  | [kind: 3, stream: string, ranges: number[]];
export type RawOp = StateOp | BulkOp;

export function isBulkOp(op: RawOp): op is BulkOp {
  return op[0] >= 2;
}

/** The last word on each row: a row that was written often is applied once. */
export class LastOps {
  readonly #buckets = new Map<string, Map<string, StateOp>>();

  add(ops: readonly RawOp[]): void {
    for (const op of ops) {
      if (isBulkOp(op)) continue;
      let rows = this.#buckets.get(op[1]);
      if (!rows) this.#buckets.set(op[1], rows = new Map());
      rows.set(op[2], op);
    }
  }

  ops(): StateOp[] {
    return [...this.#buckets.values()].flatMap((rows) => [...rows.values()]);
  }
}

/** Bytes an op takes in the journal beside its value and names; generous. */
const OP_OVERHEAD_BYTES = 16;

export interface Encoding {
  codec: ValueCodec;
  limits: StoreLimits;
  /** Operating time, for appends. */
  upMs: number;
}

export function encodeOps(
  ops: readonly StoreOp[],
  encoding: Encoding,
): { raw: RawOp[]; bytes: number } {
  const { limits } = encoding;
  const raw = ops.map((op) => encodeOp(op, encoding));
  const bytes = raw.reduce((sum, op) => sum + opBytes(op), 0);
  if (bytes > limits.commitBytesMax) {
    throw new AppError(
      "invalid",
      `Cannot commit ${ops.length} writes: together they must be <= ${limits.commitBytesMax} ` +
        `bytes, got ${bytes}`,
    );
  }
  const appends = raw.reduce((count, op) => count + Number(op[0] === 2), 0);
  if (appends > APPENDS_PER_COMMIT_MAX) {
    throw new AppError(
      "invalid",
      `Cannot commit: appends must be <= ${APPENDS_PER_COMMIT_MAX}, got ${appends}`,
    );
  }
  return { raw, bytes };
}

function encodeOp(op: StoreOp, { codec, limits, upMs }: Encoding): RawOp {
  if (op.op === "append" || op.op === "remove") {
    checkName("stream", op.stream, BUCKET_BYTES_MAX);
    if (op.op === "remove") return [3, op.stream, toRanges(op.ids)];
    checkName("key", op.key, KEY_BYTES_MAX);
    const value = encodeValue(codec, limits, op.stream, op);
    return [2, op.stream, op.key, value, Math.trunc(op.atMs), Math.trunc(upMs)];
  }
  checkName("bucket", op.bucket, BUCKET_BYTES_MAX);
  checkName("key", op.key, KEY_BYTES_MAX);
  if (op.op === "delete") return [1, op.bucket, op.key];
  return [0, op.bucket, op.key, encodeValue(codec, limits, op.bucket, op)];
}

function encodeValue(
  codec: ValueCodec,
  limits: StoreLimits,
  place: string,
  { key, value }: { key: string; value: unknown },
): Uint8Array<ArrayBuffer> {
  const bytes = codec.encode(place, key, value);
  if (bytes.length > limits.valueBytesMax) {
    throw new AppError(
      "invalid",
      `Cannot store ${place}/${key}: value must be <= ${limits.valueBytesMax} bytes, ` +
        `got ${bytes.length}`,
    );
  }
  return bytes;
}

/** What an op takes in the journal, at most. */
function opBytes(op: RawOp): number {
  // 9: a number in CBOR; 3: the most bytes UTF-8 takes for one UTF-16 unit
  if (op[0] === 3) return OP_OVERHEAD_BYTES + 3 * op[1].length + 9 * op[2].length;
  const names = OP_OVERHEAD_BYTES + 3 * (op[1].length + op[2].length);
  return op[0] === 1 ? names : names + op[3].length + (op[0] === 2 ? 18 : 0);
}

/** Consecutive ids as `from, to` pairs. */
export function toRanges(ids: readonly number[]): number[] {
  const ranges: number[] = [];
  for (const id of [...ids].sort((a, b) => a - b)) {
    const end = ranges.at(-1);
    if (end !== undefined && id <= end + 1) ranges[ranges.length - 1] = Math.max(end, id);
    else ranges.push(id, id);
  }
  return ranges;
}

function checkName(what: string, name: string, bytesMax: number): void {
  const problem = name === ""
    ? "must not be empty"
    : name.length > bytesMax || 3 * name.length > bytesMax && utf8Length(name) > bytesMax
    ? `must be <= ${bytesMax} bytes, got ${utf8Length(name)}`
    : name.includes("\0") || !name.isWellFormed()
    ? "must be well-formed text without NUL"
    : undefined;
  if (problem) {
    throw new AppError("invalid", `Cannot store: ${what} ${problem}: ${name.slice(0, 80)}`);
  }
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** The order of keys: by Unicode code point, which is also the order of their UTF-8 bytes. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // surrogates (U+10000 and up) sort after every other UTF-16 unit
    const xHigh = x >= 0xd800 && x <= 0xdfff;
    const yHigh = y >= 0xd800 && y <= 0xdfff;
    return xHigh === yHigh ? x - y : xHigh ? 1 : -1;
  }
  return a.length - b.length;
}
