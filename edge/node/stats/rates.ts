/**
 * Cores in use, from two readings of a counter, for runtimes and kernels that only count. Readings
 * are kept between two looks, of what was there at the last look only; without a recent enough
 * reading there is no rate, as with kubelet.
 */

interface Reading {
  atNs: number;
  coreNanos: number;
}

/** A rate over a longer time says nothing about now. */
const AGE_NS_MAX = 10 * 60 * 1e9;
/** Two looks closer than this keep the older reading, or noise would be all there is. */
const AGE_NS_MIN = 1e9;

export class CpuRates {
  #before = new Map<string, Reading>();
  #now = new Map<string, Reading>();

  /** Nanocores of `key` since the reading kept; undefined for the first. */
  rate(key: string, atNs: number, coreNanos: number): number | undefined {
    const before = this.#before.get(key);
    const now = { atNs, coreNanos };
    if (!before || atNs - before.atNs > AGE_NS_MAX || coreNanos < before.coreNanos) {
      this.#now.set(key, now);
      return undefined;
    }
    const elapsedNs = atNs - before.atNs;
    this.#now.set(key, elapsedNs < AGE_NS_MIN ? before : now);
    if (elapsedNs <= 0) return undefined;
    return Math.round((coreNanos - before.coreNanos) / (elapsedNs / 1e9));
  }

  /** A look is over: what it did not see is forgotten. */
  turn(): void {
    this.#before = this.#now;
    this.#now = new Map();
  }
}
