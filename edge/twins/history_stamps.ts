/**
 * Stamps of the history, put right once the time is known. A record carries the store's operating
 * time beside its stamp, which never jumps; so for a span of records it is enough to keep what has
 * to be added to that. Spans are few: one for each start of the program before which the clock was
 * wrong.
 */
import type { Clock } from "../../shared/clock.ts";
import { recordId, type Store } from "../../shared/store/port.ts";

/** Id of the first record of a span, in hex -> Span. */
const BUCKET = "twin_times/v1";
/** Spans kept; stamps of older ones stay as they were made. */
const SPANS_MAX = 256;
/** Commits on their way when the time becomes known: a little too far does no harm. */
const ON_THEIR_WAY = 1_000;

interface Span {
  /** First id and the first behind the last. */
  from: number;
  to: number;
  /** Wall clock at operating time zero, ms. */
  wallOfUpZeroMs: number;
}

export class HistoryStamps {
  readonly #store: Store;
  readonly #clock: Clock;
  #spans: Span[];
  #since: number;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    this.#spans = store.list<Span>(BUCKET).map(({ value }) => value);
    this.#since = recordId(store.lastSequence + 1, 0);
  }

  /** No stamp was ever wrong. */
  get isPlain(): boolean {
    return this.#spans.length === 0;
  }

  correct(id: number, upMs: number, atMs: number): number {
    for (const { from, to, wallOfUpZeroMs } of this.#spans) {
      if (id >= from && id < to) return Math.round(upMs + wallOfUpZeroMs);
    }
    return atMs;
  }

  /**
   * The time is known now: what was recorded since it was last known, or since the start, belongs
   * at `monotonic + originMs`. Returns the span that was wrong.
   */
  async learn(
    { originMs, correctionMs }: { originMs: number; correctionMs: number },
  ): Promise<{ from: number; to: number } | undefined> {
    const from = this.#since;
    this.#since = recordId(this.#store.lastSequence + 1, 0);
    if (correctionMs === 0 || from >= this.#since) return undefined;
    const to = recordId(this.#store.lastSequence + ON_THEIR_WAY, 0);
    const wallOfUpZeroMs = originMs + this.#clock.monotonicMs() - this.#store.bulk.upMs();
    const span: Span = { from, to, wallOfUpZeroMs };
    const surplus = this.#spans.slice(0, Math.max(0, this.#spans.length + 1 - SPANS_MAX));
    await this.#store.commit([
      { op: "put", bucket: BUCKET, key: keyOf(span), value: span },
      ...surplus.map((old) => ({ op: "delete" as const, bucket: BUCKET, key: keyOf(old) })),
    ]);
    this.#spans = [...this.#spans.slice(surplus.length), span];
    return { from, to };
  }
}

function keyOf({ from }: Span): string {
  return from.toString(16).padStart(16, "0");
}
