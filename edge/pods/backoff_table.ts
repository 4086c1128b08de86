/**
 * kubelet's back-off as pure steps on an entry: 10 s doubling to 5 min; forgotten when the event in
 * question came more than twice the maximum after the entry's last change. All times are monotonic.
 */
import { BACKOFF_INITIAL_MS, BACKOFF_MAX_MS } from "../../shared/limits.ts";

export interface BackoffEntry {
  delayMs: number;
  updatedAtMs: number;
}

export type BackoffTable = Map<string, BackoffEntry>;

function isExpired(entry: BackoffEntry, eventAtMs: number): boolean {
  return eventAtMs - entry.updatedAtMs > 2 * BACKOFF_MAX_MS;
}

/** The moment the window after `eventAtMs` ends; undefined when there is none or it is over. */
export function backoffUntil(
  entry: BackoffEntry | undefined,
  eventAtMs: number,
  nowMs: number,
): number | undefined {
  if (!entry || isExpired(entry, eventAtMs)) return undefined;
  const untilMs = eventAtMs + entry.delayMs;
  return nowMs < untilMs ? untilMs : undefined;
}

export function nextBackoff(
  entry: BackoffEntry | undefined,
  eventAtMs: number,
  nowMs: number,
): BackoffEntry {
  const delayMs = !entry || isExpired(entry, eventAtMs)
    ? BACKOFF_INITIAL_MS
    : Math.min(entry.delayMs * 2, BACKOFF_MAX_MS);
  return { delayMs, updatedAtMs: nowMs };
}

/** A duration as Go prints it: "10s", "2m40s", "5m0s". */
export function goDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), seconds % 60];
  if (h > 0) return `${h}h${m}m${s}s`;
  return m > 0 ? `${m}m${s}s` : `${s}s`;
}
