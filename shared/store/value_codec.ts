/**
 * The one place where values become bytes and bytes become values, for journal, state and snapshot
 * alike; sealing at rest is a ValueCodec around this one. Plain CBOR (RFC 8949): maps with text
 * keys, no record extensions, so any CBOR reader can read a snapshot.
 */
import { Encoder } from "cbor-x";
import { AppError } from "../errors.ts";

/** What a value decodes to that is sealed with a key that is lost: as good as absent. */
export const UNREADABLE = Symbol("unreadable");

export interface ValueCodec {
  encode(bucket: string, key: string, value: unknown): Uint8Array<ArrayBuffer>;
  /** The value, or UNREADABLE. */
  decode(bucket: string, key: string, bytes: Uint8Array<ArrayBuffer>): unknown;
  /** Plain CBOR of the value, or undefined where `decode` says UNREADABLE. */
  open(
    bucket: string,
    key: string,
    bytes: Uint8Array<ArrayBuffer>,
  ): Uint8Array<ArrayBuffer> | undefined;
}

const cbor = new Encoder({
  useRecords: false,
  // maps carry their true size in the shortest form: stable bytes, one less per object
  variableMapSize: true,
  structuredClone: false,
  mapsAsObjects: true,
  tagUint8Array: false,
});

const NOTHING = Uint8Array.of(0xf6); // null

/** Plain CBOR of `value` in bytes of its own (cbor-x hands out views of a shared pool). */
export function encodeCbor(value: unknown): Uint8Array<ArrayBuffer> {
  const view = cbor.encode(value);
  return new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.length).slice();
}

/** Reads CBOR; byte strings come back as views of `bytes`. */
export function decodeCbor(bytes: Uint8Array): unknown {
  return cbor.decode(bytes);
}

/** Lets go of what was read last: cbor-x keeps hold of it, and behind a record of its segment. */
export function releaseCbor(): void {
  cbor.decode(NOTHING);
}

export const PLAIN_CODEC: ValueCodec = {
  open: (_bucket, _key, bytes) => bytes,
  encode(bucket, key, value) {
    try {
      return encodeCbor(value);
    } catch (error) {
      throw new AppError("invalid", `Cannot store ${bucket}/${key}: value has no CBOR form`, {
        bucket,
        key,
      }, { cause: error });
    }
  },
  decode(bucket, key, bytes) {
    try {
      return decodeCbor(bytes);
    } catch (error) {
      throw new AppError("internal", `Cannot read ${bucket}/${key}: value is not CBOR`, {
        bucket,
        key,
      }, { cause: error });
    }
  },
};
