/**
 * Messages and bytes between a node and its cloud, by class and direction, before compression and
 * framing; up is from the node. Both sides count alike: the node its own link, the hub all of them.
 */
import { toBinary } from "@bufbuild/protobuf";
import {
  type Frame,
  type SessionRequest,
  SessionRequestSchema,
  type SessionResponse,
  SessionResponseSchema,
} from "../gen/skerry/hub/v1/hub_pb.ts";

export type TrafficClass = "desired" | "report" | "heartbeat" | "control" | "tunnel";

export interface Traffic {
  messages: number;
  bytes: number;
}

export type TrafficTotals = Record<TrafficClass, { up: Traffic; down: Traffic }>;

/** Fields around a body: numbers, tags and lengths. */
const ITEM_OVERHEAD_BYTES = 24;

export class TrafficCounters {
  readonly totals: TrafficTotals = {
    desired: noTraffic(),
    report: noTraffic(),
    heartbeat: noTraffic(),
    control: noTraffic(),
    tunnel: noTraffic(),
  };

  up(request: SessionRequest): void {
    const { message } = request;
    // reports are not encoded twice for a statistic
    const bytes = message.case === "reportBatch"
      ? message.value.items.reduce(
        (sum, item) => sum + item.body.byteLength + item.key.length + ITEM_OVERHEAD_BYTES,
        0,
      )
      : toBinary(SessionRequestSchema, request).byteLength;
    add(this.totals[classOf(message.case)].up, bytes);
  }

  down(response: SessionResponse): void {
    const { message } = response;
    const bytes = message.case === "desiredBatch"
      ? message.value.upserts.reduce(
        (sum, item) => sum + item.object.byteLength + item.key.length + ITEM_OVERHEAD_BYTES,
        message.value.deletes.reduce((sum, key) => sum + key.length + 2, 0),
      )
      : toBinary(SessionResponseSchema, response).byteLength;
    add(this.totals[classOf(message.case)].down, bytes);
  }

  tunnel(direction: "up" | "down", { kind }: Frame): void {
    const bytes = kind.case === "data" ? kind.value.byteLength : ITEM_OVERHEAD_BYTES;
    add(this.totals.tunnel[direction], bytes);
  }
}

function classOf(
  name: SessionRequest["message"]["case"] | SessionResponse["message"]["case"],
): TrafficClass {
  switch (name) {
    case "desiredBatch":
    case "desiredAck":
    case "desiredReject":
    case "inventory":
    case "inventoryRequest":
      return "desired";
    case "reportBatch":
    case "reportAck":
      return "report";
    case "heartbeat":
      return "heartbeat";
    default:
      return "control";
  }
}

function noTraffic(): { up: Traffic; down: Traffic } {
  return { up: { messages: 0, bytes: 0 }, down: { messages: 0, bytes: 0 } };
}

function add(traffic: Traffic, bytes: number): void {
  traffic.messages++;
  traffic.bytes += bytes;
}
