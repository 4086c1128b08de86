/**
 * Names of the edge's buckets, all in one store, so that what belongs together is one commit. A
 * changed value layout is a new bucket name and a reader for the old one.
 */
import { POD_TOKENS_PREFIX } from "../../shared/wire/pod_tokens.ts";

export const BUCKET = {
  /** One row, "head". */
  ledger: "ledger/v1",
  /** Object key -> uid, resourceVersion and object. */
  desired: "desired/v1",
  /** Outbox key -> sequence, lane, stamp and report. */
  outbox: "outbox/v1",
  /** One row, "head": sequences reserved, drops by reason. */
  outboxHead: "outbox_head/v1",
  /** One row, "key": id of the key that secrets are sealed with. */
  sealing: "sealing/v1",
  /** Pod uid -> pod and status. */
  podStatus: "pod_status/v1",
  /** namespace/name -> Event. */
  events: "events/v1",
  /** One row, "stretches": when the clock was wrong, and what it should have said. */
  historyTime: "history_time/v1",
} as const;

/** Names of the streams, in the store's bulk view. */
export const STREAM = {
  /** Report of an event, under the event's key. */
  outboxEvent: "outbox_event/v1",
  /** Report of a reading, under the device's or property's key. */
  outboxTelemetry: "outbox_telemetry/v1",
  /** What happened on this node, under what it happened to. */
  history: "history/v1",
} as const;

/** Objects that are secrets: what their keys begin with. */
export const SECRET_PREFIXES = ["secrets/", POD_TOKENS_PREFIX] as const;

/** What may not lie on the disk in plain. */
export function isSecretRow(bucket: string, key: string): boolean {
  return bucket === BUCKET.desired && SECRET_PREFIXES.some((prefix) => key.startsWith(prefix));
}
