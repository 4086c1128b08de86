/**
 * Messages of QoS 1 and 2 on their way to one session, in their order, each until it is
 * acknowledged. While the session catches up (it has just come back) nothing new may overtake what
 * waits: all go by `next`. Pure.
 *
 *     waiting -> sent -> acknowledged (QoS 1) | released -> acknowledged (QoS 2)
 *     sent, connection lost -> waiting, under the packet id it had
 */
import type { Message } from "./kept_rows.ts";

export interface Entry {
  readonly client: string;
  /** The broker's own number of the message; rises. */
  readonly counter: number;
  readonly qos: 1 | 2;
  readonly bytes: number;
  /** Absent while it lies on the disk only. */
  message: Message | undefined;
  /** Its id on disk, once it is there. */
  row: number | undefined;
  /** While it is written. */
  writing: Promise<void> | undefined;
  packetId: number | undefined;
  state: "waiting" | "sent" | "released" | "gone";
  /** Told when it is acknowledged or on disk; or why it could not be written. */
  onKept: ((error?: unknown) => void) | undefined;
}

export const PACKET_IDS = 65_535;

export class SessionQueue {
  readonly #entries = new Map<number, Entry>();
  readonly #byPacketId = new Map<number, Entry>();
  readonly #waiting = new Set<Entry>();
  bytes = 0;
  #catchingUp: object | undefined;

  get size(): number {
    return this.#entries.size;
  }

  get isCatchingUp(): boolean {
    return this.#catchingUp !== undefined;
  }

  add(entry: Entry): void {
    this.#entries.set(entry.counter, entry);
    this.bytes += entry.bytes;
    this.#waiting.add(entry);
    if (entry.packetId !== undefined) this.#byPacketId.set(entry.packetId, entry);
  }

  get(counter: number): Entry | undefined {
    return this.#entries.get(counter);
  }

  all(): Iterable<Entry> {
    return this.#entries.values();
  }

  /** A connection begins; `by` is it. What was on its way goes again. */
  begin(by: object): void {
    this.#catchingUp = by;
    this.#waiting.clear();
    for (const entry of this.#entries.values()) {
      if (entry.state === "sent") entry.state = "waiting";
      this.#waiting.add(entry);
    }
  }

  /** The next one that waits; undefined when `by` has caught up, or is no longer the one. */
  next(by: object): Entry | undefined {
    if (this.#catchingUp !== by) return undefined;
    for (const entry of this.#waiting) return entry;
    this.#catchingUp = undefined;
    return undefined;
  }

  end(by: object): void {
    if (this.#catchingUp === by) this.#catchingUp = undefined;
  }

  /** It goes out now; `wanted` is the packet id it gets where it has none and that is free. */
  send(entry: Entry, wanted: number): number {
    this.#waiting.delete(entry);
    if (entry.state === "waiting") entry.state = "sent";
    entry.packetId ??= this.#free(wanted);
    this.#byPacketId.set(entry.packetId, entry);
    return entry.packetId;
  }

  withPacketId(packetId: number): Entry | undefined {
    return this.#byPacketId.get(packetId);
  }

  remove(entry: Entry): void {
    if (!this.#entries.delete(entry.counter)) return;
    this.bytes -= entry.bytes;
    this.#waiting.delete(entry);
    if (entry.packetId !== undefined) this.#byPacketId.delete(entry.packetId);
    entry.state = "gone";
  }

  #free(wanted: number): number {
    let id = wanted;
    // there is a free one: a queue is bounded below their number
    while (this.#byPacketId.has(id)) id = id >= PACKET_IDS ? 1 : id + 1;
    return id;
  }
}
