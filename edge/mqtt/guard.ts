/**
 * What comes from one connection before the broker sees it: packets have a bound, and a client that
 * sends faster than it may is not read from for a while, so that TCP holds it back; nothing of it
 * is lost. It only reads fixed headers: a type, and how long the packet is.
 */

const LENGTH_BYTES_MAX = 4;

/** Walks over a stream of MQTT packets, wherever it is cut. */
export class PacketScanner {
  readonly #bytesMax: number;
  #state: "type" | "length" | "body" = "type";
  #length = 0;
  #shift = 0;
  #left = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Packets that began in these bytes; undefined when one is too big or no packet. */
  scan(bytes: Uint8Array): number | undefined {
    let packets = 0;
    for (let at = 0; at < bytes.length;) {
      if (this.#state === "body") {
        const taken = Math.min(this.#left, bytes.length - at);
        at += taken;
        this.#left -= taken;
        if (this.#left === 0) this.#state = "type";
        continue;
      }
      const byte = bytes[at++]!; // at < length
      if (this.#state === "type") {
        packets++;
        this.#begin();
      } else if (!this.#addLength(byte)) return undefined;
    }
    return packets;
  }

  #begin(): void {
    this.#state = "length";
    this.#length = 0;
    this.#shift = 0;
  }

  #addLength(byte: number): boolean {
    this.#length += (byte & 0x7f) * 2 ** (7 * this.#shift++);
    const goesOn = (byte & 0x80) !== 0;
    if (this.#length > this.#bytesMax || (goesOn && this.#shift === LENGTH_BYTES_MAX)) return false;
    if (!goesOn) {
      this.#left = this.#length;
      this.#state = this.#left === 0 ? "type" : "body";
    }
    return true;
  }
}

export interface RateLimits {
  messagesPerSecond: number;
  bytesPerSecond: number;
}

/** Two token buckets that may go below zero: what is owed is waited for. A second's worth each. */
export class RateGauge {
  readonly #limits: RateLimits;
  #messages: number;
  #bytes: number;
  #atMs: number;

  constructor(limits: RateLimits, nowMs: number) {
    this.#limits = limits;
    this.#messages = limits.messagesPerSecond;
    this.#bytes = limits.bytesPerSecond;
    this.#atMs = nowMs;
  }

  take(messages: number, bytes: number, nowMs: number): void {
    this.#refill(nowMs);
    this.#messages -= messages;
    this.#bytes -= bytes;
  }

  /** How long until more may come; 0 for now. */
  waitMs(nowMs: number): number {
    this.#refill(nowMs);
    const { messagesPerSecond, bytesPerSecond } = this.#limits;
    const owed = Math.max(-this.#messages / messagesPerSecond, -this.#bytes / bytesPerSecond);
    return owed <= 0 ? 0 : Math.ceil(owed * 1_000);
  }

  #refill(nowMs: number): void {
    const passedS = Math.max(0, nowMs - this.#atMs) / 1_000;
    const { messagesPerSecond, bytesPerSecond } = this.#limits;
    this.#messages = Math.min(messagesPerSecond, this.#messages + passedS * messagesPerSecond);
    this.#bytes = Math.min(bytesPerSecond, this.#bytes + passedS * bytesPerSecond);
    this.#atMs = nowMs;
  }
}
