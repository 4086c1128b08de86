/**
 * The protobuf wire format, read only: tags, varints, length-delimited values. Every read is
 * checked against the end of the buffer; what does not fit is a BadRequest, never a crash.
 */
import { badRequest } from "./bad_request.ts";

export type WireValue =
  | { kind: "varint"; value: bigint }
  | { kind: "bytes"; value: Uint8Array }
  | { kind: "fixed" };

export interface WireField {
  number: number;
  value: WireValue;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The fields of one message, in the order they stand. */
export function* readFields(bytes: Uint8Array): Generator<WireField> {
  const reader = new Reader(bytes);
  while (!reader.done) {
    const tag = reader.varint();
    const number = Number(tag >> 3n);
    if (number === 0) throw badRequest("Cannot read protobuf body: field number is 0");
    yield { number, value: reader.value(Number(tag & 7n)) };
  }
}

/** The varints of a packed list. */
export function readPacked(bytes: Uint8Array): bigint[] {
  const reader = new Reader(bytes);
  const values: bigint[] = [];
  while (!reader.done) values.push(reader.varint());
  return values;
}

/** UTF-8 text, strictly. */
export function readText(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch (cause) {
    throw badRequest("Cannot read protobuf body: a string is not UTF-8: " + String(cause));
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** At most 10 bytes, 64 bits. */
  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw truncated();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw badRequest("Cannot read protobuf body: a varint must be <= 10 bytes");
  }

  value(wireType: number): WireValue {
    switch (wireType) {
      case 0:
        return { kind: "varint", value: this.varint() };
      case 1:
        this.#take(8);
        return { kind: "fixed" };
      case 2:
        return { kind: "bytes", value: this.#take(Number(this.varint())) };
      case 5:
        this.#take(4);
        return { kind: "fixed" };
      default:
        throw badRequest(`Cannot read protobuf body: wire type ${wireType} is not known`);
    }
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw truncated();
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }
}

function truncated() {
  return badRequest("Cannot read protobuf body: it ends in the middle of a field");
}
