/**
 * How fast something may go on: a bucket of tokens, filled at a steady rate and never fuller than
 * `burst`. Pure: time is an argument.
 */
export interface PaceOptions {
  perSecond: number;
  burst: number;
}

export class Pacer {
  readonly #options: PaceOptions;
  #tokens: number;
  #atMs: number;

  constructor(options: PaceOptions, nowMs: number) {
    this.#options = options;
    this.#tokens = options.burst;
    this.#atMs = nowMs;
  }

  /** Takes up to `wanted` tokens and says how many there were. */
  take(wanted: number, nowMs: number): number {
    const { perSecond, burst } = this.#options;
    const filled = this.#tokens + Math.max(0, nowMs - this.#atMs) / 1_000 * perSecond;
    this.#tokens = Math.min(burst, filled);
    this.#atMs = nowMs;
    const taken = Math.min(wanted, Math.floor(this.#tokens));
    this.#tokens -= taken;
    return taken;
  }

  /** Gives back tokens that were not used. */
  giveBack(count: number): void {
    this.#tokens = Math.min(this.#options.burst, this.#tokens + count);
  }
}
