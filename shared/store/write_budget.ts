/**
 * What a program writes to its disk in a day, beside what it may: flash wears out. Measured over
 * the last 24 hours of operating time in hourly slots, never refused: the number is there to be
 * looked at, and passing the budget is logged once a day.
 */
import type { Clock } from "../clock.ts";
import { roomLogger } from "../log.ts";

const HOUR_MS = 60 * 60 * 1000;
const SLOTS = 24;
const LOOK_MS = 60_000;

const log = roomLogger("store");

export interface DiskBudget {
  budgetBytes: number;
  /** In the last 24 hours, or since the start when that is less. */
  writtenBytes: number;
  /** How long that was. */
  measuredMs: number;
  exceeded: boolean;
}

export interface WriteBudgetOptions {
  clock: Clock;
  budgetBytes: number;
  /** Bytes written since the start. */
  bytesWritten: () => number;
}

export class WriteBudget {
  readonly #options: WriteBudgetOptions;
  readonly #startMs: number;
  /** Bytes by hour since the start; 24 full ones and the one that runs. */
  readonly #slots = new Map<number, number>();
  #seenBytes = 0;
  #warnedMs: number | undefined;

  constructor(options: WriteBudgetOptions) {
    this.#options = options;
    this.#startMs = options.clock.monotonicMs();
  }

  state(): DiskBudget {
    const { clock, budgetBytes, bytesWritten } = this.#options;
    const sinceMs = clock.monotonicMs() - this.#startMs;
    const hour = Math.floor(sinceMs / HOUR_MS);
    const total = bytesWritten();
    this.#slots.set(hour, (this.#slots.get(hour) ?? 0) + total - this.#seenBytes);
    this.#seenBytes = total;
    for (const slot of this.#slots.keys()) if (slot <= hour - SLOTS) this.#slots.delete(slot);
    const writtenBytes = this.#slots.values().reduce((sum, bytes) => sum + bytes, 0);
    const measuredMs = Math.min(sinceMs, (SLOTS - 1) * HOUR_MS + sinceMs % HOUR_MS);
    return { budgetBytes, writtenBytes, measuredMs, exceeded: writtenBytes > budgetBytes };
  }

  /** Keeps the slots apart and warns, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    for (;;) {
      const { exceeded, writtenBytes, budgetBytes } = this.state();
      const nowMs = clock.monotonicMs();
      const due = this.#warnedMs === undefined || nowMs - this.#warnedMs > SLOTS * HOUR_MS;
      if (exceeded && due) {
        this.#warnedMs = nowMs;
        log.warn("More written to the disk than the daily budget", { writtenBytes, budgetBytes });
      }
      await clock.sleep(LOOK_MS, signal);
    }
  }
}
