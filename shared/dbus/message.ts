/** D-Bus messages to bytes and back. Pure. */
import { AppError } from "../errors.ts";
import { DBusReader, type DBusValue, type DBusVariant, DBusWriter } from "./marshal.ts";

export const MESSAGE_TYPE = { call: 1, reply: 2, error: 3, signal: 4 } as const;

export interface DBusMessage {
  type: number;
  serial: number;
  path?: string;
  interface?: string;
  member?: string;
  errorName?: string;
  replySerial?: number;
  destination?: string;
  sender?: string;
  signature?: string;
  body?: readonly DBusValue[];
}

/** Fixed part of a header, up to and with the length of the fields. */
const HEAD_BYTES = 16;
/** 1 MiB: far beyond what is said here; the protocol allows 128. */
const MESSAGE_BYTES_MAX = 1024 * 1024;
const LITTLE_ENDIAN = "l".charCodeAt(0);

const FIELDS = [
  [1, "o", "path"],
  [2, "s", "interface"],
  [3, "s", "member"],
  [4, "s", "errorName"],
  [5, "u", "replySerial"],
  [6, "s", "destination"],
  [7, "s", "sender"],
  [8, "g", "signature"],
] as const;

export function encodeMessage(message: DBusMessage, types: readonly string[]): Uint8Array {
  const body = new DBusWriter();
  types.forEach((type, index) => body.write(type, message.body![index]!));
  const bodyBytes = body.bytes;
  const withSignature = { ...message, ...(types.length > 0 ? { signature: types.join("") } : {}) };
  const fields = FIELDS.flatMap(([code, type, name]): DBusValue[] => {
    const value = withSignature[name];
    return value === undefined ? [] : [[code, { type, value }]];
  });
  const head = new DBusWriter();
  for (const byte of [LITTLE_ENDIAN, message.type, 0, 1]) head.write("y", byte);
  head.write("u", bodyBytes.length);
  head.write("u", message.serial);
  head.write("a(yv)", fields);
  head.align(8);
  const headBytes = head.bytes;
  const all = new Uint8Array(headBytes.length + bodyBytes.length);
  all.set(headBytes);
  all.set(bodyBytes, headBytes.length);
  return all;
}

/** How long the message at the beginning of `bytes` is; undefined while that is not known. */
export function messageLength(bytes: Uint8Array): number | undefined {
  if (bytes.length < HEAD_BYTES) return undefined;
  if (bytes[0] !== LITTLE_ENDIAN) {
    throw new AppError("invalid", "Cannot read D-Bus message: it must be little endian");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields = Math.ceil(view.getUint32(12, true) / 8) * 8;
  const length = HEAD_BYTES + fields + view.getUint32(4, true);
  if (length <= MESSAGE_BYTES_MAX) return length;
  const limit = `must be <= ${MESSAGE_BYTES_MAX} bytes, got ${length}`;
  throw new AppError("exhausted", `Cannot read D-Bus message: ${limit}`);
}

/** `bytes` hold exactly one message. */
export function decodeMessage(bytes: Uint8Array): DBusMessage {
  const reader = new DBusReader(bytes);
  const [, type = 0, , , , serial = 0, fields] = reader.readAll("yyyyuua(yv)");
  const message: Record<string, DBusValue> = {};
  for (const field of fields as [number, DBusVariant][]) { // by the signature
    const known = FIELDS.find(([code]) => code === field[0]);
    if (known) message[known[2]] = field[1].value;
  }
  reader.align(8);
  const start = reader.at;
  const body = new DBusReader(bytes.subarray(start)).readAll(String(message.signature ?? ""));
  return { ...message, type: Number(type), serial: Number(serial), body };
}
