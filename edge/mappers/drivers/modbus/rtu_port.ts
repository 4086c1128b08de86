/**
 * RTU frames on any line of bytes, as the port that modbus-serial's client wants: one request out,
 * and the first whole frame that can be its answer back. Noise around it, and what comes when
 * nothing was asked, is dropped.
 */
import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";

export interface ByteLine {
  /** `stale`: an earlier answer may still be on its way, and is no answer to this. */
  write(bytes: Uint8Array, stale: boolean): void;
  /** Gives what comes to `push` while `wanted`. */
  poll(push: (bytes: Uint8Array) => void, wanted: () => boolean): void;
  end(): Promise<void>;
}

/** The longest frame there is; twice that with noise. */
const BUFFER_MAX = 512;
const EXCEPTION = 0x80;

export class RtuPort extends EventEmitter {
  isOpen = false;
  readonly #line: ByteLine;
  #buffer = new Uint8Array(0);
  #asked: { unit: number; code: number; turn: number } | undefined;
  #turn = 0;

  constructor(line: ByteLine) {
    super();
    this.#line = line;
  }

  open(callback: (error?: Error) => void): void {
    this.isOpen = true;
    callback();
  }

  close(callback?: () => void): void {
    this.isOpen = false;
    callback?.();
  }

  write(frame: Uint8Array): void {
    const turn = ++this.#turn;
    const stale = this.#asked !== undefined;
    this.#buffer = new Uint8Array(0);
    this.#asked = { unit: frame[0] ?? 0, code: frame[1] ?? 0, turn };
    this.#line.write(frame, stale);
    this.#line.poll((bytes) => this.push(bytes), () => this.#asked?.turn === turn);
  }

  push(bytes: Uint8Array): void {
    if (!this.#asked) return;
    const joined = new Uint8Array(this.#buffer.length + bytes.length);
    joined.set(this.#buffer);
    joined.set(bytes, this.#buffer.length);
    this.#buffer = joined.slice(-BUFFER_MAX);
    const frame = findFrame(this.#buffer, this.#asked);
    if (!frame) return;
    this.#asked = undefined;
    this.emit("data", Buffer.from(frame));
  }

  async end(): Promise<void> {
    this.isOpen = false;
    this.#asked = undefined;
    await this.#line.end();
  }
}

/** The first frame with a right checksum that answers what was asked. */
export function findFrame(
  bytes: Uint8Array,
  { unit, code }: { unit: number; code: number },
): Uint8Array | undefined {
  for (let at = 0; at + 5 <= bytes.length; at++) {
    if (bytes[at] !== unit) continue;
    const answered = bytes[at + 1];
    // reads say how long they are; writes repeat address and number
    const length = answered === (code | EXCEPTION)
      ? 5
      : answered === code
      ? code <= 4 ? 5 + (bytes[at + 2] ?? 0) : 8
      : 0;
    if (length === 0 || at + length > bytes.length) continue;
    const frame = bytes.subarray(at, at + length);
    const sum = (frame[length - 2] ?? 0) | ((frame[length - 1] ?? 0) << 8);
    if (crc16(frame.subarray(0, -2)) === sum) return frame;
  }
  return undefined;
}

export function crc16(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1;
  }
  return crc;
}
