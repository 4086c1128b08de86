/**
 * How often one probe may write an event: kubelet's spam filter (25 at once, one more each 5 min),
 * and the same words at most once a minute, because each event is a write to the node's disk.
 */
const TOKENS_MAX = 25;
const REFILL_MS = 300_000;
const REPEAT_MS = 60_000;

export class WarningBudget {
  #tokens = TOKENS_MAX;
  #filledAtMs: number | undefined;
  #last: { message: string; atMs: number } | undefined;

  /** True when the event may be written now. */
  take(message: string, nowMs: number): boolean {
    if (this.#last?.message === message && nowMs - this.#last.atMs < REPEAT_MS) return false;
    this.#filledAtMs ??= nowMs;
    const gained = Math.floor((nowMs - this.#filledAtMs) / REFILL_MS);
    this.#tokens = Math.min(TOKENS_MAX, this.#tokens + gained);
    this.#filledAtMs += gained * REFILL_MS;
    if (this.#tokens === 0) return false;
    this.#tokens--;
    this.#last = { message, atMs: nowMs };
    return true;
  }
}
