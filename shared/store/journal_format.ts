/**
 * Bytes of a journal segment; pure. A segment is a 64-byte header, then frames, then zeros written
 * ahead. A frame holds the commits of one write and one sync:
 *
 *     0x5A  length:24  crc32c(payload):32  crc32c(bytes 0..7):24  0xA5   payload   0xA5
 *
 * A frame is written only after the one before it was synced, and only over zeros that were synced
 * before it: that is how `scanSegment` tells a torn last write (zeros where bytes should be,
 * nothing after) from damage (anything else). All numbers little-endian.
 */
import { AppError, invariant } from "../errors.ts";
import { crc32c } from "./crc32c.ts";

/** 2: records may hold ops on streams. Format 1 is read, and continued in a segment of format 2. */
export const JOURNAL_FORMAT = 2;
export const HEADER_BYTES = 64;
export const FRAME_OVERHEAD_BYTES = 13;
const FRAME_HEAD_BYTES = 12;
const FRAME_PAYLOAD_BYTES_MAX = 0xffffff;
const MAGIC = new TextEncoder().encode("SKRYJRNL");
const HEAD_MARK = 0x5a;
const END_MARK = 0xa5;
/** What a disk writes whole or not at all. */
const SECTOR_BYTES = 512;

export interface SegmentHeader {
  /** Sequence of the first commit in this segment. */
  firstSequence: number;
  /** Sequence of the state this segment continues; later commits of older segments do not count. */
  baseSequence: number;
}

export interface ReadHeader extends SegmentHeader {
  format: number;
}

export type Tail =
  | { kind: "clean" }
  /** The last write did not reach the disk whole; it was never acknowledged. */
  | { kind: "torn"; bytes: number }
  | { kind: "damaged"; what: string };

export function encodeHeader(header: SegmentHeader): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(8, JOURNAL_FORMAT, true);
  view.setBigUint64(16, BigInt(header.firstSequence), true);
  view.setBigUint64(24, BigInt(header.baseSequence), true);
  view.setUint32(60, crc32c(bytes, 0, 60), true);
  return bytes;
}

/** The header, or undefined when damaged; throws `internal` for a format of a later version. */
export function decodeHeader(bytes: Uint8Array, name: string): ReadHeader | undefined {
  if (bytes.length < HEADER_BYTES || MAGIC.some((b, i) => bytes[i] !== b)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (view.getUint32(60, true) !== crc32c(bytes, 0, 60)) return undefined;
  const format = view.getUint32(8, true);
  if (format < 1 || format > JOURNAL_FORMAT) {
    throw new AppError(
      "internal",
      `Cannot read ${name}: journal format must be <= ${JOURNAL_FORMAT}, got ${format}`,
    );
  }
  return {
    format,
    firstSequence: Number(view.getBigUint64(16, true)),
    baseSequence: Number(view.getBigUint64(24, true)),
  };
}

export function encodeFrame(payload: Uint8Array): Uint8Array<ArrayBuffer> {
  invariant(payload.length <= FRAME_PAYLOAD_BYTES_MAX, "a frame's payload fits its length field");
  const bytes = new Uint8Array(payload.length + FRAME_OVERHEAD_BYTES);
  const view = new DataView(bytes.buffer);
  bytes[0] = HEAD_MARK;
  setUint24(bytes, 1, payload.length);
  view.setUint32(4, crc32c(payload), true);
  setUint24(bytes, 8, crc32c(bytes, 0, 8));
  bytes[11] = END_MARK;
  bytes.set(payload, FRAME_HEAD_BYTES);
  bytes[bytes.length - 1] = END_MARK;
  return bytes;
}

/**
 * Calls `onFrame` with each good payload in order, until it returns false or the first frame that
 * is not good. Returns where the good frames end and what lies behind them.
 */
export function scanSegment(
  bytes: Uint8Array,
  onFrame: (payload: Uint8Array, offset: number) => boolean,
): { end: number; tail: Tail } {
  let offset = HEADER_BYTES;
  for (;;) {
    const end = goodFrameEnd(bytes, offset);
    if (end === undefined) return { end: offset, tail: classifyTail(bytes, offset) };
    const payload = bytes.subarray(offset + FRAME_HEAD_BYTES, end - 1);
    if (!onFrame(payload, offset)) {
      return { end: offset, tail: { kind: "damaged", what: "record is out of sequence" } };
    }
    offset = end;
  }
}

/** Payloads of good frames that start anywhere after `offset`, however they are aligned. */
export function* salvageFrames(bytes: Uint8Array, offset: number): Generator<Uint8Array> {
  for (let at = bytes.indexOf(HEAD_MARK, offset + 1); at >= 0;) {
    const end = goodFrameEnd(bytes, at);
    if (end !== undefined) yield bytes.subarray(at + FRAME_HEAD_BYTES, end - 1);
    at = bytes.indexOf(HEAD_MARK, end ?? at + 1);
  }
}

function frameEnd(bytes: Uint8Array, offset: number): number | undefined {
  if (offset + FRAME_HEAD_BYTES > bytes.length) return undefined;
  if (bytes[offset] !== HEAD_MARK || bytes[offset + 11] !== END_MARK) return undefined;
  if (getUint24(bytes, offset + 8) !== (crc32c(bytes, offset, offset + 8) & 0xffffff)) {
    return undefined;
  }
  return offset + FRAME_OVERHEAD_BYTES + getUint24(bytes, offset + 1);
}

function goodFrameEnd(bytes: Uint8Array, offset: number): number | undefined {
  const end = frameEnd(bytes, offset);
  if (end === undefined || end > bytes.length || bytes[end - 1] !== END_MARK) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const checksum = crc32c(bytes, offset + FRAME_HEAD_BYTES, end - 1);
  return view.getUint32(offset + 4, true) === checksum ? end : undefined;
}

function classifyTail(bytes: Uint8Array, offset: number): Tail {
  let used = bytes.length;
  while (used > offset && bytes[used - 1] === 0) used--;
  if (used === offset) {
    return offset < bytes.length
      ? { kind: "clean" }
      : { kind: "damaged", what: "file ends before the room written ahead: it was cut short" };
  }
  const end = frameEnd(bytes, offset);
  if ((end ?? offset + FRAME_HEAD_BYTES) > bytes.length) {
    return { kind: "damaged", what: "file ends inside a record: it was cut short" };
  }
  if (!salvageFrames(bytes, offset).next().done) {
    return { kind: "damaged", what: "record fails its checksum, and good ones follow" };
  }
  // A write that tore left zeros in the frame's head, at its end, or in a whole sector of it.
  const torn = end === undefined
    ? bytes[offset] === 0 || bytes[offset + 11] === 0
    : bytes[end - 1] === 0 || hasZeroSector(bytes, offset, end);
  return torn
    ? { kind: "torn", bytes: used - offset }
    : { kind: "damaged", what: "record fails its checksum" };
}

function hasZeroSector(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end;) {
    const next = Math.min(end, at - at % SECTOR_BYTES + SECTOR_BYTES);
    if (bytes.subarray(at, next).every((b) => b === 0)) return true;
    at = next;
  }
  return false;
}

function setUint24(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value & 255;
  bytes[offset + 1] = value >>> 8 & 255;
  bytes[offset + 2] = value >>> 16 & 255;
}

function getUint24(bytes: Uint8Array, offset: number): number {
  return bytes[offset]! | bytes[offset + 1]! << 8 | bytes[offset + 2]! << 16;
}
