/**
 * Puts stamps of history right that were taken before the time was known. Records carry operating
 * time beside the clock's; once the clock is known to have been wrong, the stretch of operating
 * time since it was last right is noted with where it began, and every reading of it gives the
 * right stamps. Nothing stored is changed. A run that ends before it learns the time keeps its own.
 */
import type { Clock } from "../../shared/clock.ts";
import type { Store } from "../../shared/store/port.ts";
import { BUCKET } from "./buckets.ts";

/** Below this nothing is noted: clocks drift by as much. */
const CORRECTION_MS_MIN = 1_000;
/** One for each time the clock was found wrong; the oldest go first. */
const STRETCHES_MAX = 64;

/** Between these operating times the wall clock was `originMs` plus the operating time. */
interface Stretch {
  fromUpMs: number;
  toUpMs: number;
  originMs: number;
}

export class HistoryTime {
  readonly #store: Store;
  readonly #clock: Clock;
  #stretches: Stretch[];
  /** Operating time since which stamps are not known to be right. */
  #unsureFromUpMs: number;

  constructor({ store, clock }: { store: Store; clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
    this.#stretches = store.get<Stretch[]>(BUCKET.historyTime, "stretches") ?? [];
    this.#unsureFromUpMs = store.bulk.upMs();
  }

  /** True while some stored stamps are not the ones to show. */
  get hasCorrections(): boolean {
    return this.#stretches.length > 0;
  }

  /** The wall clock is right now; it was put right by `correctionMs`. */
  async timeIsKnown(correctionMs: number): Promise<void> {
    const upMs = this.#store.bulk.upMs();
    const fromUpMs = this.#unsureFromUpMs;
    this.#unsureFromUpMs = upMs;
    if (Math.abs(correctionMs) < CORRECTION_MS_MIN) return;
    const originMs = this.#clock.nowMs() - upMs;
    const value = [...this.#stretches, { fromUpMs, toUpMs: upMs, originMs }].slice(-STRETCHES_MAX);
    await this.#store.commit([{ op: "put", bucket: BUCKET.historyTime, key: "stretches", value }]);
    this.#stretches = value;
  }

  /** The right stamp of a record; undefined where the stored one stands. */
  corrected(upMs: number): number | undefined {
    const stretch = this.#stretches.find((each) => upMs >= each.fromUpMs && upMs < each.toUpMs);
    return stretch && stretch.originMs + upMs;
  }
}
