/**
 * What a program writes to its disk in a day, beside what it may: flash wears out. Measured over
 * the last 24 hours of operating time in hourly slots, and kept in the store, so that a restart
 * forgets at most an hour or a 64th of the budget. Nothing is refused: past the budget the store
 * takes snapshots more rarely, others may write less (`exceeded`), and somebody is told once a day.
 */
import type { Clock } from "../clock.ts";
import { errorChain } from "../errors.ts";
import { roomLogger } from "../log.ts";
import type { Written } from "./options.ts";
import type { Store } from "./port.ts";

const HOUR_MS = 60 * 60 * 1000;
const SLOTS = 24;
const LOOK_MS = 10 * 60_000;
/** From this share of the budget on, the state is `near`. */
const NEAR = 0.8;
/** What is not kept yet is kept when it is this share of the budget, or an hour old. */
const KEEP_SHARE = 1 / 64;
const ROW = { bucket: "disk_budget/v1", key: "head" } as const;

const log = roomLogger("store");

export type BudgetState = "ok" | "near" | "exceeded";

export interface DiskBudget {
  limitBytes: number;
  /** In the last 24 hours of operation, or since the beginning when that is less. */
  writtenBytes: number;
  /** How long that was. */
  measuredMs: number;
  state: BudgetState;
  /** By kind, since the store was made. */
  totals: Written;
}

export interface WriteBudgetOptions {
  clock: Clock;
  limitBytes: number;
  store: Pick<Store, "get" | "commit">;
  /** Written since the start of the program. */
  written: () => Written;
  /** Called when the state has changed; past the budget once a day as well. */
  onState?: (budget: DiskBudget) => Promise<void>;
}

interface Row {
  /** Operating time when it was kept. */
  upMs: number;
  slots: [hour: number, bytes: number][];
  totals: Written;
}

export class WriteBudget {
  readonly #options: WriteBudgetOptions;
  readonly #startMs: number;
  readonly #before: Row;
  /** Bytes by hour of operation; 24 full ones and the one that runs. */
  readonly #slots: Map<number, number>;
  #seenBytes = 0;
  #keptBytes = 0;
  #keptMs: number;
  #told: { state: BudgetState; atMs: number } = { state: "ok", atMs: 0 };

  constructor(options: WriteBudgetOptions) {
    this.#options = options;
    this.#startMs = this.#keptMs = options.clock.monotonicMs();
    this.#before = options.store.get<Row>(ROW.bucket, ROW.key) ??
      { upMs: 0, slots: [], totals: { journal: 0, snapshot: 0, bulk: 0 } };
    this.#slots = new Map(this.#before.slots);
  }

  get exceeded(): boolean {
    return this.#told.state === "exceeded";
  }

  state(): DiskBudget {
    const { limitBytes, written } = this.#options;
    const upMs = this.#upMs();
    const hour = Math.floor(upMs / HOUR_MS);
    const now = written();
    const total = now.journal + now.snapshot + now.bulk;
    this.#slots.set(hour, (this.#slots.get(hour) ?? 0) + total - this.#seenBytes);
    this.#seenBytes = total;
    for (const slot of this.#slots.keys()) if (slot <= hour - SLOTS) this.#slots.delete(slot);
    const writtenBytes = this.#slots.values().reduce((sum, bytes) => sum + bytes, 0);
    const { totals } = this.#before;
    return {
      limitBytes,
      writtenBytes,
      measuredMs: Math.min(upMs, (SLOTS - 1) * HOUR_MS + upMs % HOUR_MS),
      state: writtenBytes > limitBytes
        ? "exceeded"
        : writtenBytes > NEAR * limitBytes
        ? "near"
        : "ok",
      totals: {
        journal: totals.journal + now.journal,
        snapshot: totals.snapshot + now.snapshot,
        bulk: totals.bulk + now.bulk,
      },
    };
  }

  /** Keeps the slots apart, tells of the state, and keeps the count, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    try {
      for (;;) {
        await this.#tell(this.state());
        if (this.#mustKeep()) await this.#keep();
        await clock.sleep(LOOK_MS, signal);
      }
    } finally {
      if (this.#seenBytes > 0) await this.#keep();
    }
  }

  async #tell(budget: DiskBudget): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs();
    const isAgain = budget.state === "exceeded" && nowMs - this.#told.atMs > SLOTS * HOUR_MS;
    if (budget.state === this.#told.state && !isAgain) return;
    this.#told = { state: budget.state, atMs: nowMs };
    const { writtenBytes, limitBytes } = budget;
    if (budget.state === "exceeded") {
      log.warn("More written to the disk than the daily budget", { writtenBytes, limitBytes });
    }
    await this.#options.onState?.(budget);
  }

  #mustKeep(): boolean {
    const unkept = this.#seenBytes - this.#keptBytes;
    if (unkept > KEEP_SHARE * this.#options.limitBytes) return true;
    return unkept > 0 && this.#options.clock.monotonicMs() - this.#keptMs >= HOUR_MS;
  }

  async #keep(): Promise<void> {
    const { totals } = this.state();
    const seenBytes = this.#seenBytes;
    const value: Row = { upMs: Math.trunc(this.#upMs()), slots: [...this.#slots], totals };
    try {
      await this.#options.store.commit([{ op: "put", ...ROW, value }]);
      this.#keptBytes = seenBytes;
      this.#keptMs = this.#options.clock.monotonicMs();
    } catch (error) {
      // a full disk: it is tried again with the next look
      log.debug("Count of bytes written is not kept", { error: errorChain(error) });
    }
  }

  #upMs(): number {
    return this.#before.upMs + this.#options.clock.monotonicMs() - this.#startMs;
  }
}
