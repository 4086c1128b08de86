/**
 * Names of the edge's buckets, all in one store, so that what belongs together is one commit. A
 * changed value layout is a new bucket name and a reader for the old one.
 */
export const BUCKET = {
  /** One row, "head". */
  ledger: "ledger/v1",
  /** Object key -> uid, resourceVersion and object. */
  desired: "desired/v1",
  /** Outbox key -> sequence, lane, stamp and report. */
  outbox: "outbox/v1",
  /** One row, "head": sequences reserved, drops by reason. */
  outboxHead: "outbox_head/v1",
  /** Pod uid -> pod and status. */
  podStatus: "pod_status/v1",
  /** namespace/name -> Event. */
  events: "events/v1",
} as const;
