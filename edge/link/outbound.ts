/**
 * The outbox on its way up. Items go in the outbox's order, many in flight within the window the
 * cloud gave; one is forgotten only after the cloud's acknowledgement of its sequence, durably.
 * What is in flight when a session ends is simply sent again by the next: applying twice is
 * harmless.
 */
import { create } from "@bufbuild/protobuf";
import { Wakeup } from "../../shared/async/wakeup.ts";
import {
  type ReportItem,
  ReportItemSchema,
  type SessionRequest,
  SessionRequestSchema,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { OBJECT_BYTES_MAX } from "../../shared/limits.ts";
import { roomLogger } from "../../shared/log.ts";
import { encodeBody } from "../../shared/wire/codec.ts";
import type { Outgoing } from "../../shared/wire/outgoing.ts";
import type { LinkOutbox } from "./port.ts";

const BATCH_ITEMS_MAX = 64;
const BATCH_BYTES_MAX = 512 * 1024;

const log = roomLogger("edge", "link");

export interface OutboundWindow {
  itemsMax: number;
  bytesMax: number;
}

export interface OutboundOptions {
  outbox: LinkOutbox;
  outgoing: Outgoing<SessionRequest>;
  window: OutboundWindow;
}

export class Outbound {
  readonly #options: OutboundOptions;
  readonly #wake = new Wakeup();
  readonly #ackWake = new Wakeup();
  /** Bytes by sequence: sent, and not yet forgotten by the outbox. */
  readonly #inFlight = new Map<number, number>();
  #inFlightBytes = 0;
  #acked: number[] = [];

  constructor(options: OutboundOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { outbox, outgoing } = this.#options;
    const unsubscribe = outbox.changes.subscribe(() => this.#wake.wake());
    try {
      for (;;) {
        const items = this.#nextItems();
        if (items.length === 0) {
          await this.#wake.wait(signal);
          continue;
        }
        await outgoing.sendBulk(create(SessionRequestSchema, {
          message: { case: "reportBatch", value: { items } },
        }));
      }
    } finally {
      unsubscribe();
    }
  }

  /** Makes the outbox forget what was acknowledged; one durable commit for all that gathered. */
  async runAcknowledgements(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#ackWake.wait(signal);
      const sequences = this.#acked.splice(0);
      if (sequences.length === 0) continue;
      await this.#options.outbox.acknowledge(sequences);
      for (const sequence of sequences) this.#release(sequence);
      this.#wake.wake();
    }
  }

  acknowledge(sequences: readonly bigint[]): void {
    for (const sequence of sequences) {
      // of another session, or twice: nothing of ours
      if (this.#inFlight.has(Number(sequence))) this.#acked.push(Number(sequence));
    }
    this.#ackWake.wake();
  }

  /** What fits next: in lane order, without what is in flight, within batch and window. */
  #nextItems(): ReportItem[] {
    const { outbox, window } = this.#options;
    const room = Math.min(BATCH_ITEMS_MAX, window.itemsMax - this.#inFlight.size);
    const items: ReportItem[] = [];
    if (room <= 0) return items;
    let bytes = 0;
    for (const item of outbox.pending(0, this.#inFlight.size + room)) {
      // looked at first: some reports are made when they are read
      if (this.#inFlight.has(item.sequence) || items.length >= room) continue;
      const { sequence, key, report } = item;
      const body = encodeBody(report);
      if (body.byteLength > OBJECT_BYTES_MAX) {
        this.#giveUp(sequence, key, body.byteLength);
        continue;
      }
      const full = bytes + body.byteLength > BATCH_BYTES_MAX && items.length > 0;
      const windowFull = this.#inFlightBytes + body.byteLength > window.bytesMax &&
        this.#inFlight.size > 0;
      if (full || windowFull) break;
      bytes += body.byteLength;
      this.#inFlight.set(sequence, body.byteLength);
      this.#inFlightBytes += body.byteLength;
      items.push(create(ReportItemSchema, { sequence: BigInt(sequence), key, body }));
    }
    return items;
  }

  /** The cloud would refuse it for ever, and everything behind it would wait. */
  #giveUp(sequence: number, key: string, bytes: number): void {
    log.error("Report dropped: larger than the link carries", { key, bytes });
    this.#inFlight.set(sequence, 0);
    this.#acked.push(sequence);
    this.#ackWake.wake();
  }

  #release(sequence: number): void {
    this.#inFlightBytes -= this.#inFlight.get(sequence) ?? 0;
    this.#inFlight.delete(sequence);
  }
}
