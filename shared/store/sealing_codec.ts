/**
 * Values that are secret lie on disk sealed with AES-256-GCM: in journal, state, snapshots and bulk
 * alike, because values become bytes here and nowhere else. Bucket and key are authenticated with
 * the value, so a sealed value cannot be put under another name. What was stored plain is still
 * read. A value sealed with a key that is not ours any more is UNREADABLE, and told once.
 *
 *     0xFF (no CBOR begins so)  1  id of the key: 8 bytes  nonce: 12  ciphertext  tag: 16
 */
import { createCipheriv, createDecipheriv, createHash } from "node:crypto";
import { roomLogger } from "../log.ts";
import type { Random } from "../random.ts";
import { PLAIN_CODEC, UNREADABLE, type ValueCodec } from "./value_codec.ts";

const SEALED = 0xff;
const SEAL_FORMAT = 1;
const KEY_ID_BYTES = 8;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const NONCE_AT = 2 + KEY_ID_BYTES;
const TEXT_AT = NONCE_AT + NONCE_BYTES;
export const SEAL_KEY_BYTES = 32;

const log = roomLogger("store");

export interface SealingOptions {
  key: Uint8Array;
  random: Random;
  /** Which values are secret. */
  isSecret: (bucket: string, key: string) => boolean;
}

export class SealingCodec implements ValueCodec {
  readonly #options: SealingOptions;
  readonly #keyId: Uint8Array;
  /** Places that cannot be read, for the report. */
  readonly #unreadable = new Set<string>();

  constructor(options: SealingOptions) {
    this.#options = options;
    this.#keyId = createHash("sha256").update("skerry store key").update(options.key).digest()
      .subarray(0, KEY_ID_BYTES);
  }

  /** Tells keys apart without telling the key. */
  get keyId(): string {
    return Array.from(this.#keyId, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  /** How many values were found that cannot be read. */
  get unreadable(): number {
    return this.#unreadable.size;
  }

  encode(bucket: string, key: string, value: unknown): Uint8Array<ArrayBuffer> {
    const plain = PLAIN_CODEC.encode(bucket, key, value);
    return this.#options.isSecret(bucket, key) ? this.#seal(bucket, key, plain) : plain;
  }

  decode(bucket: string, key: string, bytes: Uint8Array<ArrayBuffer>): unknown {
    const plain = this.open(bucket, key, bytes);
    return plain ? PLAIN_CODEC.decode(bucket, key, plain) : UNREADABLE;
  }

  open(
    bucket: string,
    key: string,
    bytes: Uint8Array<ArrayBuffer>,
  ): Uint8Array<ArrayBuffer> | undefined {
    return bytes[0] === SEALED ? this.#open(bucket, key, bytes) : bytes;
  }

  #seal(bucket: string, key: string, plain: Uint8Array): Uint8Array<ArrayBuffer> {
    const nonce = this.#options.random.bytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#options.key, nonce);
    cipher.setAAD(placeOf(bucket, key));
    const out = new Uint8Array(TEXT_AT + plain.length + TAG_BYTES);
    out[0] = SEALED;
    out[1] = SEAL_FORMAT;
    out.set(this.#keyId, 2);
    out.set(nonce, NONCE_AT);
    out.set(cipher.update(plain), TEXT_AT);
    cipher.final();
    out.set(cipher.getAuthTag(), TEXT_AT + plain.length);
    return out;
  }

  #open(bucket: string, key: string, bytes: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    const ours = bytes[1] === SEAL_FORMAT && bytes.length >= TEXT_AT + TAG_BYTES &&
      this.#keyId.every((byte, i) => bytes[2 + i] === byte);
    if (!ours) return this.#cannotRead(bucket, key, "it is sealed with another key");
    try {
      const end = bytes.length - TAG_BYTES;
      const nonce = bytes.subarray(NONCE_AT, TEXT_AT);
      const decipher = createDecipheriv("aes-256-gcm", this.#options.key, nonce);
      decipher.setAAD(placeOf(bucket, key));
      decipher.setAuthTag(bytes.subarray(end));
      const plain = new Uint8Array(decipher.update(bytes.subarray(TEXT_AT, end)));
      decipher.final();
      return plain;
    } catch {
      // the tag does not fit: what is there is not what was sealed here
      return this.#cannotRead(bucket, key, "it fails its authentication");
    }
  }

  #cannotRead(bucket: string, key: string, reason: string): undefined {
    const place = `${bucket}/${key}`;
    if (!this.#unreadable.has(place)) log.error("Cannot read sealed value", { place, reason });
    this.#unreadable.add(place);
  }
}

function placeOf(bucket: string, key: string): Uint8Array {
  return new TextEncoder().encode(`${bucket}\0${key}`);
}
