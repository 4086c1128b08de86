/**
 * The devices of a node that may have none: the twin engine begins when the ledger, or what is left
 * of an earlier day, holds a device. Until then there is nothing of it, not even a loop.
 */

import { Changes, Wakeup } from "../shared/async/wakeup.ts";
import type { DurableOutbox } from "./meta/outbox.ts";
import { TwinEngine } from "./twins/engine.ts";
import type { TwinManagerOptions } from "./twins/manager.ts";
import type { HistorySize, Twins } from "./twins/port.ts";
import { DEVICES_BUCKET } from "./twins/rows.ts";
import { holdsDevices } from "./twins/sync.ts";

export type DeviceRoomOptions = TwinManagerOptions & { outbox: DurableOutbox };

export class DeviceRoom {
  /** As `Twins.changes`, and when the engine is there. */
  readonly changes = new Changes();
  readonly #options: DeviceRoomOptions;
  #engine: TwinEngine | undefined;

  constructor(options: DeviceRoomOptions) {
    this.#options = options;
    this.#openIfNeeded();
  }

  /** Undefined while the node has no device. */
  get twins(): Twins | undefined {
    return this.#engine?.twins;
  }

  /** What the past of devices takes up; undefined while the node has none. */
  get historySize(): HistorySize | undefined {
    return this.#engine?.twins.pastOf.size();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { ledger } = this.#options;
    const wakeup = new Wakeup();
    const unsubscribe = ledger.changes.subscribe(() => wakeup.wake());
    try {
      while (!this.#openIfNeeded()) await wakeup.wait(signal);
    } finally {
      unsubscribe();
    }
    await this.#engine?.run(signal);
  }

  async timeIsKnown(learned: { originMs: number; correctionMs: number }): Promise<void> {
    await this.#engine?.timeIsKnown(learned);
  }

  #openIfNeeded(): boolean {
    if (this.#engine) return true;
    const { store, ledger, outbox } = this.#options;
    if (store.count(DEVICES_BUCKET) === 0 && !holdsDevices(ledger)) return false;
    this.#engine = new TwinEngine(this.#options);
    outbox.makeWith(this.#engine.maker);
    this.#engine.twins.changes.subscribe(() => this.changes.notify());
    this.changes.notify();
    return true;
  }
}
