/**
 * Bounds that both sides share, each with the reason for its number. A bound that belongs to one
 * room lives in that room.
 */

/** Largest Kubernetes object accepted anywhere: etcd's 1.5 MiB request limit, as users know it. */
export const OBJECT_BYTES_MAX = 1_536 * 1024;

/** Largest hub message: one object plus room for its envelope, or a batch of small ones. */
export const HUB_MESSAGE_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Hub messages smaller than this travel as they are: heartbeats, acknowledgements and single
 * reports would hardly shrink, and gzip costs a small node more than it saves.
 */
export const HUB_COMPRESSION_BYTES_MIN = 1024;

/** Heartbeat period on the link; a link is half-open after two without an answer. */
export const HEARTBEAT_MS = 10_000;

/** Default restart and pull back-off of kubelet: 10 s doubling to 5 min. */
export const BACKOFF_INITIAL_MS = 10_000;
export const BACKOFF_MAX_MS = 300_000;
