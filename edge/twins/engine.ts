/**
 * The twin engine at work: follows the ledger, and tells devices of which nothing was heard for too
 * long. One loop for all devices; without a device that has a cycle it only waits for the ledger.
 */
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import { errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { ReportMaker } from "../meta/port.ts";
import { decide } from "./decide.ts";
import { TwinManager, type TwinManagerOptions } from "./manager.ts";
import { correctTwins } from "./stamps.ts";
import { TwinSync } from "./sync.ts";

/** Cycles without a word after which a device is unknown, and after which it is offline. */
const UNKNOWN_AFTER_CYCLES = 3;
const OFFLINE_AFTER_CYCLES = 10;
/** A device is not lost before this, however fast its cycle. */
const SILENCE_MS_MIN = 5_000;
const LOOK_MS_MIN = 1_000;
const LOOK_MS_MAX = 60_000;
/** After a disk that refused. */
const RETRY_MS = 5_000;

const log = roomLogger("edge", "twins");

const DEVICE_KEY = "device/";

export class TwinEngine {
  readonly twins: TwinManager;
  readonly #options: TwinManagerOptions;
  readonly #sync: TwinSync;

  constructor(options: TwinManagerOptions) {
    const { clock, ledger } = options;
    this.#options = options;
    this.twins = new TwinManager(options);
    this.#sync = new TwinSync({
      manager: this.twins,
      ledger,
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs(),
    });
  }

  /** For the outbox. */
  get maker(): ReportMaker {
    const nameOf = (key: string) => key.slice(DEVICE_KEY.length);
    return {
      has: (key) =>
        key.startsWith(DEVICE_KEY) && this.twins.registry.byKey(nameOf(key))?.record !== undefined,
      make: (key) => this.twins.makeReport(nameOf(key)),
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { ledger, clock } = this.#options;
    const wakeup = new Wakeup();
    wakeup.wake();
    const unsubscribe = ledger.changes.subscribe(() => wakeup.wake());
    try {
      for (let lookMs: number | undefined;;) {
        if (lookMs === undefined) await wakeup.wait(signal);
        else await waitAtMost(wakeup, clock, lookMs, signal);
        try {
          await this.sync();
          await this.#expire();
          lookMs = this.#lookMs();
        } catch (error) {
          signal.throwIfAborted();
          // the disk is full or read-only: devices stay as they are until it takes writes again
          log.warn("Cannot keep what became of devices", { error: errorChain(error) });
          lookMs = RETRY_MS;
        }
      }
    } finally {
      unsubscribe();
    }
  }

  /** Brings devices in line with the ledger. */
  async sync(): Promise<void> {
    await this.#sync.run();
  }

  /** The time is known now: puts right what was stamped before. */
  async timeIsKnown(learned: { originMs: number; correctionMs: number }): Promise<void> {
    const span = await this.twins.pastOf.stamps.learn(learned);
    if (span) await correctTwins(this.twins, this.#options.store, span);
  }

  /** Until the next look for silent devices; undefined when none has a cycle. */
  #lookMs(): number | undefined {
    let shortestMs = Infinity;
    for (const { record } of this.twins.registry.all()) {
      if (record && record.cycleMs > 0) shortestMs = Math.min(shortestMs, record.cycleMs);
    }
    if (shortestMs === Infinity) return undefined;
    return Math.min(Math.max(shortestMs, LOOK_MS_MIN), LOOK_MS_MAX);
  }

  async #expire(): Promise<void> {
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const silent: Promise<void>[] = [];
    for (const { key, record, seenMonotonicMs } of this.twins.registry.all()) {
      if (!record || record.cycleMs <= 0 || record.life.state === "offline") continue;
      const silentMs = nowMs - seenMonotonicMs;
      const cycleMs = Math.max(record.cycleMs, SILENCE_MS_MIN / UNKNOWN_AFTER_CYCLES);
      if (silentMs < UNKNOWN_AFTER_CYCLES * cycleMs) continue;
      const state = silentMs >= OFFLINE_AFTER_CYCLES * cycleMs ? "offline" : "unknown";
      if (record.life.state === state) continue;
      const lastSeenMs = Math.round(clock.nowMs() - silentMs);
      silent.push(this.twins.post(key, (batch) => {
        if (batch.entry.seenMonotonicMs !== seenMonotonicMs) return; // it has spoken meanwhile
        const command = { kind: "expire", state, lastSeenMs } as const;
        batch.apply(decide(batch.facts, command, clock.nowMs()).events);
      }));
    }
    await Promise.all(silent);
  }
}
