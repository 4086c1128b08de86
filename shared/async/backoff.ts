/** Exponential back-off with full jitter: uniform in [0, min(max, initial * 2^attempt)]. */
import type { Random } from "../random.ts";

export interface BackoffOptions {
  initialMs: number;
  maxMs: number;
}

export function fullJitterMs(options: BackoffOptions, attempt: number, random: Random): number {
  // 30: 2^30 ms is beyond any maximum in use, and keeps the power exact
  const capMs = Math.min(options.maxMs, options.initialMs * 2 ** Math.min(attempt, 30));
  return Math.floor(random.float() * capMs);
}
