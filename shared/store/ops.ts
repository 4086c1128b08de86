/**
 * Commits as the journal carries them: checked, bounded, and with values already in bytes, so that
 * what the caller does to its objects afterwards changes nothing. Pure.
 */
import { AppError } from "../errors.ts";
import { BUCKET_BYTES_MAX, KEY_BYTES_MAX, type StoreLimits } from "./limits.ts";
import type { StoreOp } from "./port.ts";
import type { ValueCodec } from "./value_codec.ts";

/** `[0, bucket, key, value]` puts, `[1, bucket, key]` deletes; other kinds are for later. */
export type RawOp =
  | [kind: 0, bucket: string, key: string, value: Uint8Array<ArrayBuffer>]
  | [kind: 1, bucket: string, key: string];

/** Bytes an op takes in the journal beside its value and names; generous. */
const OP_OVERHEAD_BYTES = 16;

export function encodeOps(
  ops: readonly StoreOp[],
  codec: ValueCodec,
  limits: StoreLimits,
): { raw: RawOp[]; bytes: number } {
  let bytes = 0;
  const raw = ops.map((op): RawOp => {
    checkName("bucket", op.bucket, BUCKET_BYTES_MAX);
    checkName("key", op.key, KEY_BYTES_MAX);
    // 3: the most bytes UTF-8 takes for one UTF-16 unit
    bytes += OP_OVERHEAD_BYTES + 3 * (op.bucket.length + op.key.length);
    if (op.op === "delete") return [1, op.bucket, op.key];
    const value = codec.encode(op.bucket, op.key, op.value);
    if (value.length > limits.valueBytesMax) {
      throw new AppError(
        "invalid",
        `Cannot store ${op.bucket}/${op.key}: value must be <= ${limits.valueBytesMax} bytes, ` +
          `got ${value.length}`,
      );
    }
    bytes += value.length;
    return [0, op.bucket, op.key, value];
  });
  if (bytes > limits.commitBytesMax) {
    throw new AppError(
      "invalid",
      `Cannot commit ${ops.length} writes: together they must be <= ${limits.commitBytesMax} ` +
        `bytes, got ${bytes}`,
    );
  }
  return { raw, bytes };
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
