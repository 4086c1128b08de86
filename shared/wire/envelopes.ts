/**
 * Messages of a stream as the Connect protocol frames them: a byte of flags, four of length, the
 * body. What is longer than the bound is refused by its head, before any of its body is kept.
 */
import { AppError } from "../errors.ts";

const HEAD_BYTES = 5;

/** The body is compressed. */
export const COMPRESSED = 1;
/** The last envelope of an answer: how the call ended, as JSON. */
export const END_OF_STREAM = 2;

export interface Envelope {
  flags: number;
  body: Uint8Array<ArrayBuffer>;
}

export function encodeEnvelope(flags: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEAD_BYTES + body.byteLength);
  bytes[0] = flags;
  new DataView(bytes.buffer).setUint32(1, body.byteLength);
  bytes.set(body, HEAD_BYTES);
  return bytes;
}

export class EnvelopeDecoder {
  readonly #bytesMax: number;
  readonly #head = new Uint8Array(HEAD_BYTES);
  #headFilled = 0;
  #body: Uint8Array<ArrayBuffer> | undefined;
  #bodyFilled = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** True when an envelope has begun and is not whole. */
  get partial(): boolean {
    return this.#headFilled > 0;
  }

  /** The envelopes that are whole with `chunk`; AppError "exhausted" for one that is too large. */
  *push(chunk: Uint8Array): Generator<Envelope, void, void> {
    for (let at = 0; at < chunk.byteLength;) {
      if (!this.#body) {
        this.#head[this.#headFilled++] = chunk[at++]!; // within its length
        if (this.#headFilled < HEAD_BYTES) continue;
        const size = new DataView(this.#head.buffer).getUint32(1);
        if (size > this.#bytesMax) {
          const message = `Cannot read message: must be <= ${this.#bytesMax} bytes, got ${size}`;
          throw new AppError("exhausted", message);
        }
        this.#body = new Uint8Array(size);
        this.#bodyFilled = 0;
      }
      const part = chunk.subarray(at, at + this.#body.byteLength - this.#bodyFilled);
      this.#body.set(part, this.#bodyFilled);
      this.#bodyFilled += part.byteLength;
      at += part.byteLength;
      if (this.#bodyFilled < this.#body.byteLength) return;
      const body = this.#body;
      this.#body = undefined;
      this.#headFilled = 0;
      yield { flags: this.#head[0]!, body }; // there is one
    }
  }
}
