/**
 * The node's notion of time. A node may have no clock, or one that is years off or jumps; nothing
 * at the edge decides by it, and what people read should still carry the right stamps. So the cloud
 * tells its time at the beginning of each session, and from there on time is counted by the
 * monotonic clock: that is what `nowMs` says whenever the machine's own clock is more than a minute
 * away from it. Where they agree the machine's own is taken, because something (NTP, a radio, a
 * person) keeps it better than a quartz.
 *
 *     unknown -> known (the cloud has spoken in this process; kept while cut off) -> known ...
 */
import type { Clock } from "../../shared/clock.ts";

/** Clocks that differ by less agree: round trips, slow disks and NTP all stay below. */
export const TOLERANCE_MS = 60_000;
/** What a quartz may drift while the node is cut off: 200 ppm, 17 s a day. */
const DRIFT = 0.0002;

/** Where stamps made since `sinceMonotonicMs` belong: at `monotonic + originMs`. */
export interface TimeLearned {
  /** Wall time of the monotonic clock's zero. */
  originMs: number;
  /** By how much `nowMs` was wrong until now, ms; 0 when it was right. */
  correctionMs: number;
}

export interface TimeStatus {
  /** The cloud has told this process the time. */
  known: boolean;
  /** What is added to the machine's clock right now, ms; 0 when the two agree. */
  correctionMs: number;
}

export class NodeTime implements Clock {
  readonly #machine: Clock;
  #learned: { originMs: number; atMonotonicMs: number } | undefined;

  constructor(machine: Clock) {
    this.#machine = machine;
  }

  nowMs(): number {
    return this.#machine.nowMs() + this.status().correctionMs;
  }

  monotonicMs(): number {
    return this.#machine.monotonicMs();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#machine.sleep(ms, signal);
  }

  status(): TimeStatus {
    if (!this.#learned) return { known: false, correctionMs: 0 };
    const { originMs, atMonotonicMs } = this.#learned;
    const monotonicMs = this.#machine.monotonicMs();
    const toleranceMs = TOLERANCE_MS + DRIFT * (monotonicMs - atMonotonicMs);
    const offMs = originMs + monotonicMs - this.#machine.nowMs();
    return { known: true, correctionMs: Math.abs(offMs) <= toleranceMs ? 0 : Math.round(offMs) };
  }

  /** The cloud says that it is `serverMs`; asked at `askedMonotonicMs`. */
  learn(serverMs: number, askedMonotonicMs: number): TimeLearned {
    const monotonicMs = this.#machine.monotonicMs();
    const saidMs = this.nowMs();
    const travelledMs = (monotonicMs - askedMonotonicMs) / 2;
    this.#learned = {
      originMs: serverMs + travelledMs - monotonicMs,
      atMonotonicMs: monotonicMs,
    };
    const { originMs } = this.#learned;
    const wrongMs = Math.round(originMs + monotonicMs - saidMs);
    return { originMs, correctionMs: Math.abs(wrongMs) <= TOLERANCE_MS ? 0 : wrongMs };
  }
}
