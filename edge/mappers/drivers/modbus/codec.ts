/**
 * Values in registers: most significant byte and register first, unless the address says that bytes
 * (isSwap) or registers (isRegisterSwap) are the other way round. A scale multiplies what is read
 * and divides what is written. Pure.
 */
import { AppError } from "../../../../shared/errors.ts";
import { float32Text, isTrue, valueText } from "../../settings.ts";
import type { Address, Encoding } from "./address.ts";

/** `bytes`: two a register, or bits packed from the lowest. Throws for what is no value. */
export function decode(address: Address, bytes: Uint8Array): string {
  const { point, encoding, scale } = address;
  if (encoding === "bits") return decodeBits(address, bytes);
  const ordered = order(address, bytes);
  if (encoding === "raw") return decodeRaw(address, ordered);
  const value = readNumber(encoding, ordered);
  if (point.type === "STRING") return scaled(value, scale, encoding);
  return valueText(point, toNumber(scaled(value, scale, encoding), value));
}

/** The text of the value that will be read back, and its bytes (for coils, one a bit). */
export function encode(address: Address, value: string): { bytes: Uint8Array; expected: string } {
  const { encoding, count } = address;
  if (encoding === "bits") return encodeBits(address, value);
  const bytes = new Uint8Array(count * 2);
  if (encoding === "raw") writeRaw(address, value, bytes);
  else writeNumber(address, value, bytes);
  const expected = decode(address, order(address, bytes));
  return { bytes: order(address, bytes), expected };
}

/** Its own inverse. */
function order({ swapBytes, swapRegisters }: Address, bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length);
  for (let at = 0; at + 1 < bytes.length; at += 2) {
    const to = swapRegisters ? bytes.length - 2 - at : at;
    out[to] = bytes[swapBytes ? at + 1 : at] ?? 0;
    out[to + 1] = bytes[swapBytes ? at : at + 1] ?? 0;
  }
  return out;
}

function readNumber(encoding: Encoding, bytes: Uint8Array): number | bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  switch (encoding) {
    case "uint16":
      return view.getUint16(0);
    case "int16":
      return view.getInt16(0);
    case "uint32":
      return view.getUint32(0);
    case "int32":
      return view.getInt32(0);
    case "uint64":
      return view.getBigUint64(0);
    case "int64":
      return view.getBigInt64(0);
    case "float32":
      return view.getFloat32(0);
    default:
      return view.getFloat64(0);
  }
}

/** Without the noise that a product of binary fractions has in its last digits. */
function scaled(value: number | bigint, scale: number, encoding: Encoding): string {
  if (scale !== 1) return String(Number((Number(value) * scale).toPrecision(15)));
  if (encoding === "float32") return float32Text(Number(value));
  return String(value);
}

/** A bigint keeps all its digits where nothing was scaled. */
function toNumber(text: string, value: number | bigint): number | bigint {
  return typeof value === "bigint" && text === value.toString() ? value : Number(text);
}

function writeNumber(address: Address, text: string, bytes: Uint8Array): void {
  const { encoding, scale, point } = address;
  const view = new DataView(bytes.buffer);
  const isBoolean = point.type === "BOOLEAN";
  const number = isBoolean ? Number(isTrue(text)) : Number(text) / scale;
  if (!Number.isFinite(number)) throw cannotWrite(address, text, "a number");
  if (encoding === "float32") return view.setFloat32(0, number);
  if (encoding === "float64") return view.setFloat64(0, number);
  const exact = scale === 1 && /^-?\d+$/.test(text) && !isBoolean;
  const whole = exact ? BigInt(text) : BigInt(Math.round(number));
  const bits = BigInt(bytes.length * 8);
  const [low, high] = encoding.startsWith("u")
    ? [0n, 2n ** bits - 1n]
    : [-(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n];
  if (whole < low || whole > high) {
    throw cannotWrite(address, text, `from ${low} to ${high} in the register`);
  }
  let rest = BigInt.asUintN(Number(bits), whole);
  for (let at = bytes.length - 1; at >= 0; at--) {
    bytes[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
}

function decodeRaw({ point }: Address, bytes: Uint8Array): string {
  if (point.type === "BOOLEAN") return String(bytes.some((byte) => byte !== 0));
  if (point.type === "BYTES") return bytes.toBase64();
  // a text ends at its first NUL: the rest of its registers is padding
  const end = bytes.indexOf(0);
  const text = new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  return valueText(point, text);
}

function writeRaw(address: Address, text: string, bytes: Uint8Array): void {
  const { type } = address.point;
  if (type === "BOOLEAN") {
    bytes[bytes.length - 1] = Number(isTrue(text));
    return;
  }
  const value = type === "BYTES" ? Uint8Array.fromBase64(text) : new TextEncoder().encode(text);
  if (value.length > bytes.length) {
    throw cannotWrite(address, `${value.length} bytes`, `at most ${bytes.length} bytes`);
  }
  bytes.set(value);
}

function decodeBits({ point, count }: Address, bytes: Uint8Array): string {
  const bit = (at: number) => (bytes[at >> 3]! >> (at & 7)) & 1; // the caller checked the length
  const bits = Array.from({ length: count }, (_, at) => bit(at));
  if (point.type === "BOOLEAN") return String(bits.includes(1));
  if (point.type === "BYTES") return bytes.subarray(0, Math.ceil(count / 8)).toBase64();
  if (point.type === "STRING") return bits.join("");
  return valueText(point, bits.reduceRight((sum, each) => sum * 2n + BigInt(each), 0n));
}

function encodeBits(address: Address, text: string): { bytes: Uint8Array; expected: string } {
  const { point, count } = address;
  const bytes = new Uint8Array(count);
  switch (point.type) {
    case "BOOLEAN":
      bytes.fill(Number(isTrue(text)));
      break;
    case "BYTES": {
      const packed = Uint8Array.fromBase64(text);
      for (let at = 0; at < count; at++) bytes[at] = ((packed[at >> 3] ?? 0) >> (at & 7)) & 1;
      break;
    }
    case "STRING":
      if (!/^[01]*$/.test(text) || text.length > count) {
        throw cannotWrite(address, text, `at most ${count} digits 0 and 1`);
      }
      for (let at = 0; at < text.length; at++) bytes[at] = Number(text[at]);
      break;
    default: {
      const value = Number(text);
      if (!Number.isInteger(value) || value < 0 || value >= 2 ** Math.min(count, 53)) {
        throw cannotWrite(address, text, `a whole number of ${count} bits`);
      }
      for (let at = 0, rest = BigInt(value); at < count; at++, rest >>= 1n) {
        bytes[at] = Number(rest & 1n);
      }
    }
  }
  const packed = new Uint8Array(Math.ceil(count / 8));
  bytes.forEach((each, at) => packed[at >> 3]! |= each << (at & 7)); // packed holds count bits
  return { bytes, expected: decodeBits(address, packed) };
}

function cannotWrite({ point }: Address, got: string, must: string): AppError {
  const message = `Cannot write ${point.name}: must be ${must}, got ${got.slice(0, 60)}`;
  return new AppError("invalid", message);
}
