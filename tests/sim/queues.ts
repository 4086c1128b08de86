/**
 * Every queue a node keeps, with its bound: looked at now and then, so that the summary can say how
 * full each ever was, and a queue beyond its bound is a violation.
 */
import type { Edge } from "../../edge/assemble.ts";
import { OPEN_INTENTS_MAX } from "../../edge/intents/durable_intents.ts";
import { STREAM } from "../../edge/meta/buckets.ts";
import { EVENTS_MAX } from "../../edge/meta/event_log.ts";
import { HISTORY_LIMITS } from "../../edge/meta/history.ts";
import { BULK_LANES } from "../../edge/meta/outbox.ts";
import { SPARING_FACTOR } from "../../shared/store/durable_store.ts";
import { STORE_LIMITS } from "../../shared/store/limits.ts";

/** Of each of the two lanes that keep the latest report per key (`latest_lanes.ts`). */
const LATEST_MAX = 20_000;
/** Quotas of streams hold after each flush; so much more may wait for it. */
const FLUSH_ROWS = 5_000;

/** How their highest depths are named in the trace. */
export const QUEUE = "queue: ";

export interface Queue {
  name: string;
  bound: number;
  depth: (edge: Edge) => number;
  /** To be looked at seldom: it reads all of it. */
  isCostly?: boolean;
}

export const QUEUES: readonly Queue[] = [
  { name: "outbox, control", bound: LATEST_MAX, depth: (edge) => lanes(edge).control },
  { name: "outbox, status", bound: LATEST_MAX, depth: (edge) => lanes(edge).status },
  {
    name: "outbox, events",
    bound: BULK_LANES.event.rowsMax + FLUSH_ROWS,
    depth: (edge) => lanes(edge).event,
  },
  {
    name: "outbox, telemetry",
    bound: BULK_LANES.telemetry.rowsMax + FLUSH_ROWS,
    depth: (edge) => lanes(edge).telemetry,
  },
  {
    name: "history rows",
    bound: HISTORY_LIMITS.rowsMax + FLUSH_ROWS,
    depth: ({ memory }) => memory.store.bulk.stats(STREAM.history).rows,
  },
  {
    name: "events kept",
    bound: EVENTS_MAX,
    depth: ({ memory }) => memory.events.list().length,
    isCostly: true,
  },
  {
    name: "site edits undecided",
    bound: OPEN_INTENTS_MAX,
    depth: ({ memory }) =>
      memory.intents.list().filter(({ state }) => state === "pending" || state === "applied")
        .length,
  },
  {
    name: "bytes waiting for the disk",
    bound: STORE_LIMITS.pendingBytesMax,
    depth: ({ memory }) => memory.store.stats().pendingBytes,
  },
  {
    name: "bytes of journal since a snapshot",
    // a day with very many restarts uses up its budget of disk writes, and snapshots come rarely
    bound: STORE_LIMITS.snapshotAfterBytes * SPARING_FACTOR + STORE_LIMITS.batchBytesMax,
    depth: ({ memory }) => memory.store.stats().journalBytes,
  },
];

function lanes({ memory }: Edge) {
  return memory.outbox.stats().lanes;
}
