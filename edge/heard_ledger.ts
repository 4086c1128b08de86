/** The ledger as the link feeds it, with an ear for what the cloud offers, taken or not. */
import type { DesiredBatch, InventoryEntry } from "../shared/wire/desired.ts";
import type { LinkLedger } from "./link/port.ts";
import type { LedgerHead, Verdict } from "./meta/port.ts";

export class HeardLedger implements LinkLedger {
  readonly #ledger: LinkLedger;
  #heard: { cloudId: string; generation: number } | undefined;

  constructor(ledger: LinkLedger) {
    this.#ledger = ledger;
  }

  get head(): LedgerHead {
    return this.#ledger.head;
  }

  /** The latest generation the cloud offered since this program started. */
  get heard(): number | undefined {
    return this.#heard?.generation;
  }

  inventory(): InventoryEntry[] {
    return this.#ledger.inventory();
  }

  accept(batch: DesiredBatch): Promise<Verdict> {
    const { cloudId, generation } = batch;
    const isNews = this.#heard?.cloudId !== cloudId || this.#heard.generation < generation;
    if (isNews) this.#heard = { cloudId, generation };
    return this.#ledger.accept(batch);
  }
}
