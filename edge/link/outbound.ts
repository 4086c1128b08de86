/**
 * The outbox on its way up. Items go in the outbox's order, many in flight within the window the
 * cloud gave; one is forgotten only after the cloud's acknowledgement of its sequence, durably.
 * What is in flight when a session ends is simply sent again by the next: applying twice is
 * harmless.
 */
import { create } from "@bufbuild/protobuf";
import { Wakeup } from "../../shared/async/wakeup.ts";
import {
  type ReportAck,
  type ReportItem,
  ReportItemSchema,
  ReportLane,
  type SessionRequest,
  SessionRequestSchema,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { OBJECT_BYTES_MAX } from "../../shared/limits.ts";
import { roomLogger } from "../../shared/log.ts";
import { encodeBody } from "../../shared/wire/codec.ts";
import { decodeAckRanges } from "../../shared/wire/ack_ranges.ts";
import type { Outgoing } from "../../shared/wire/outgoing.ts";
import type { OutboxItem } from "../meta/port.ts";
import type { LinkOutbox } from "./port.ts";

/** As the protocol allows; one report of the largest size always goes. */
const BATCH_ITEMS_MAX = 256;
const BATCH_BYTES_MAX = 256 * 1024;
/** Whatever the cloud grants: what is in flight is in memory. */
const WINDOW_ITEMS_MAX = 4_096;
const WINDOW_BYTES_MAX = 8 * 1024 * 1024;

const LANES: Readonly<Record<OutboxItem["lane"], ReportLane>> = {
  control: ReportLane.CONTROL,
  status: ReportLane.STATUS,
  event: ReportLane.EVENT,
  telemetry: ReportLane.TELEMETRY,
};

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
  readonly #window: OutboundWindow;
  readonly #wake = new Wakeup();
  readonly #ackWake = new Wakeup();
  /** Bytes by sequence: sent, and not yet forgotten by the outbox. */
  readonly #inFlight = new Map<number, number>();
  #inFlightBytes = 0;
  #acked: number[] = [];

  constructor(options: OutboundOptions) {
    this.#options = options;
    const { itemsMax, bytesMax } = options.window;
    this.#window = {
      itemsMax: Math.min(itemsMax, WINDOW_ITEMS_MAX),
      bytesMax: Math.min(bytesMax, WINDOW_BYTES_MAX),
    };
    options.outbox.grant(this.#window.itemsMax);
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

  /** Sequences of another session, or twice, are nothing of ours. */
  acknowledge({ sequences, ranges }: Pick<ReportAck, "sequences" | "ranges">): void {
    for (const sequence of sequences) this.#acknowledged(Number(sequence));
    for (const { from, to } of decodeAckRanges(ranges)) {
      if (to - from < this.#inFlight.size) {
        for (let sequence = from; sequence <= to; sequence++) this.#acknowledged(sequence);
      } else {
        for (const sequence of this.#inFlight.keys()) {
          if (sequence >= from && sequence <= to) this.#acknowledged(sequence);
        }
      }
    }
    this.#ackWake.wake();
  }

  #acknowledged(sequence: number): void {
    if (this.#inFlight.has(sequence)) this.#acked.push(sequence);
  }

  /** What fits next: in lane order, without what is in flight, within batch and window. */
  #nextItems(): ReportItem[] {
    const room = Math.min(BATCH_ITEMS_MAX, this.#window.itemsMax - this.#inFlight.size);
    const items: ReportItem[] = [];
    if (room <= 0) return items;
    let bytes = 0;
    for (const item of this.#options.outbox.pending(0, room, this.#isInFlight)) {
      const { sequence, key, lane } = item;
      const body = item.body ?? encodeBody(item.report);
      const size = body.byteLength;
      if (size > OBJECT_BYTES_MAX) {
        this.#giveUp(sequence, key, size);
        continue;
      }
      const full = bytes + size > BATCH_BYTES_MAX && items.length > 0;
      const windowFull = this.#inFlightBytes + size > this.#window.bytesMax &&
        this.#inFlight.size > 0;
      if (full || windowFull) break;
      bytes += size;
      this.#inFlight.set(sequence, size);
      this.#inFlightBytes += size;
      const fields = { sequence: BigInt(sequence), key, body, lane: LANES[lane] };
      items.push(create(ReportItemSchema, fields));
    }
    return items;
  }

  /** One function for the session: the outbox knows its sender by it. */
  readonly #isInFlight = (sequence: number): boolean => this.#inFlight.has(sequence);

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
