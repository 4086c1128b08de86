/**
 * D-Bus values to bytes and back, little endian, by signature. Pure. Integers of 64 bits are
 * bigint, a variant is `{ type, value }`, a struct or an array is an array, a dict entry a pair.
 * File descriptors cannot be passed: Deno's sockets do not carry them.
 */
import { AppError } from "../errors.ts";

export type DBusValue =
  | string
  | number
  | bigint
  | boolean
  | DBusVariant
  | readonly DBusValue[];

export interface DBusVariant {
  type: string;
  value: DBusValue;
}

const ALIGN: Readonly<Record<string, number>> = {
  ...{ y: 1, g: 1, v: 1, n: 2, q: 2, b: 4, i: 4, u: 4, s: 4, o: 4, a: 4, h: 4 },
  ...{ x: 8, t: 8, d: 8, "(": 8, "{": 8 },
};
/** Nesting that the protocol allows for arrays and structs together. */
const DEPTH_MAX = 64;

/** Splits a signature into its complete types. */
export function completeTypes(signature: string): string[] {
  const types: string[] = [];
  let at = 0;
  while (at < signature.length) {
    const end = typeEnd(signature, at, 0);
    types.push(signature.slice(at, end));
    at = end;
  }
  return types;
}

function typeEnd(signature: string, at: number, depth: number): number {
  const code = signature[at] ?? "";
  if (depth > DEPTH_MAX || ALIGN[code] === undefined) throw badSignature(signature);
  if (code === "a") return typeEnd(signature, at + 1, depth + 1);
  const close = code === "(" ? ")" : code === "{" ? "}" : undefined;
  if (!close) return at + 1;
  let next = at + 1;
  while (signature[next] !== close) next = typeEnd(signature, next, depth + 1);
  return next + 1;
}

function badSignature(signature: string): AppError {
  return new AppError("invalid", `Cannot read D-Bus signature "${signature.slice(0, 255)}"`);
}

export class DBusWriter {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  align(to: number): void {
    this.#take((to - this.#length % to) % to);
  }

  write(type: string, value: DBusValue): void {
    const code = type[0]!;
    this.align(ALIGN[code] ?? 1);
    switch (code) {
      case "y":
        return this.#view.setUint8(this.#take(1), Number(value));
      case "n":
        return this.#view.setInt16(this.#take(2), Number(value), true);
      case "q":
        return this.#view.setUint16(this.#take(2), Number(value), true);
      case "b":
        return this.#view.setUint32(this.#take(4), value ? 1 : 0, true);
      case "i":
        return this.#view.setInt32(this.#take(4), Number(value), true);
      case "u":
      case "h":
        return this.#view.setUint32(this.#take(4), Number(value), true);
      case "x":
        return this.#view.setBigInt64(this.#take(8), BigInt(value as bigint), true); // an x
      case "t":
        return this.#view.setBigUint64(this.#take(8), BigInt(value as bigint), true); // a t
      case "d":
        return this.#view.setFloat64(this.#take(8), Number(value), true);
      case "s":
      case "o":
        return this.#text(String(value), 4);
      case "g":
        return this.#text(String(value), 1);
      default:
        return this.#writeContainer(type, value);
    }
  }

  #writeContainer(type: string, value: DBusValue): void {
    if (type === "v") {
      const variant = value as DBusVariant; // by the signature
      this.#text(variant.type, 1);
      return this.write(variant.type, variant.value);
    }
    const items = value as readonly DBusValue[]; // by the signature
    if (type[0] === "a") return this.#writeArray(type.slice(1), items);
    completeTypes(type.slice(1, -1)).forEach((inner, index) => this.write(inner, items[index]!));
  }

  #writeArray(inner: string, items: readonly DBusValue[]): void {
    const at = this.#take(4);
    this.align(ALIGN[inner[0]!] ?? 1);
    const start = this.#length;
    for (const item of items) this.write(inner, item);
    this.#view.setUint32(at, this.#length - start, true);
  }

  #text(text: string, lengthBytes: 1 | 4): void {
    const bytes = new TextEncoder().encode(text);
    if (lengthBytes === 4) this.#view.setUint32(this.#take(4), bytes.length, true);
    else this.#view.setUint8(this.#take(1), bytes.length);
    const at = this.#take(bytes.length + 1);
    this.#bytes.set(bytes, at);
  }

  /** Room for so many bytes, zeroed; gives where it begins. */
  #take(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}

export class DBusReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  align(to: number): void {
    this.at += (to - this.at % to) % to;
  }

  /** Throws AppError "invalid" for bytes that end too early. */
  readAll(signature: string): DBusValue[] {
    try {
      return completeTypes(signature).map((type) => this.read(type, 0));
    } catch (cause) {
      if (cause instanceof AppError) throw cause;
      throw new AppError("invalid", "Cannot read D-Bus message: it ends too early", {}, { cause });
    }
  }

  read(type: string, depth: number): DBusValue {
    const code = type[0]!;
    if (depth > DEPTH_MAX) throw badSignature(type);
    this.align(ALIGN[code] ?? 1);
    switch (code) {
      case "y":
        return this.#view.getUint8(this.#skip(1));
      case "n":
        return this.#view.getInt16(this.#skip(2), true);
      case "q":
        return this.#view.getUint16(this.#skip(2), true);
      case "b":
        return this.#view.getUint32(this.#skip(4), true) !== 0;
      case "i":
        return this.#view.getInt32(this.#skip(4), true);
      case "u":
      case "h":
        return this.#view.getUint32(this.#skip(4), true);
      case "x":
        return this.#view.getBigInt64(this.#skip(8), true);
      case "t":
        return this.#view.getBigUint64(this.#skip(8), true);
      case "d":
        return this.#view.getFloat64(this.#skip(8), true);
      case "s":
      case "o":
        return this.#text(this.#view.getUint32(this.#skip(4), true));
      case "g":
        return this.#text(this.#view.getUint8(this.#skip(1)));
      default:
        return this.#readContainer(type, depth + 1);
    }
  }

  #readContainer(type: string, depth: number): DBusValue {
    if (type === "v") {
      const inner = this.#text(this.#view.getUint8(this.#skip(1)));
      return { type: inner, value: this.read(inner, depth) };
    }
    if (type[0] !== "a") {
      return completeTypes(type.slice(1, -1)).map((inner) => this.read(inner, depth));
    }
    const length = this.#view.getUint32(this.#skip(4), true);
    const inner = type.slice(1);
    this.align(ALIGN[inner[0]!] ?? 1);
    const end = this.at + length;
    if (end > this.#bytes.length) throw new RangeError("array beyond the end");
    const items: DBusValue[] = [];
    while (this.at < end) items.push(this.read(inner, depth));
    return items;
  }

  #text(length: number): string {
    const at = this.#skip(length + 1);
    return new TextDecoder().decode(this.#bytes.subarray(at, at + length));
  }

  #skip(count: number): number {
    const at = this.at;
    if (at + count > this.#bytes.length) throw new RangeError("beyond the end");
    this.at += count;
    return at;
  }
}
