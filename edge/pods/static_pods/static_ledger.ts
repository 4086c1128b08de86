/** The ledger with this node's static pods among its pods: the agent reads all it runs from one. */
import { Changes } from "../../../shared/async/wakeup.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import type { DesiredBatch, InventoryEntry } from "../../../shared/wire/desired.ts";
import { objectKey } from "../../../shared/wire/keys.ts";
import type { Ledger, LedgerHead, Verdict } from "../../meta/port.ts";
import type { StaticFolder } from "./static_folder.ts";

const PODS = { group: "", resource: "pods" };

export class StaticLedger implements Ledger {
  readonly changes = new Changes();
  readonly #ledger: Ledger;
  readonly #folder: StaticFolder;

  constructor(ledger: Ledger, folder: StaticFolder) {
    this.#ledger = ledger;
    this.#folder = folder;
    for (const { changes } of [ledger, folder]) changes.subscribe(() => this.changes.notify());
  }

  get head(): LedgerHead {
    return this.#ledger.head;
  }

  get<T extends KubeObject>(key: string): T | undefined {
    return this.#ledger.get<T>(key) ?? this.#find(key) as T | undefined; // "pods/…" are Pods
  }

  list<T extends KubeObject>(resource: string): T[] {
    const listed = this.#ledger.list<T>(resource);
    // the caller that lists pods takes Pods
    return resource === "pods" ? [...listed, ...this.#folder.pods() as unknown as T[]] : listed;
  }

  inventory(): InventoryEntry[] {
    return this.#ledger.inventory();
  }

  accept(batch: DesiredBatch): Promise<Verdict> {
    return this.#ledger.accept(batch);
  }

  #find(key: string): KubeObject | undefined {
    if (!key.startsWith("pods/")) return undefined;
    return this.#folder.pods().find(({ metadata }) =>
      objectKey(PODS, metadata.namespace, metadata.name ?? "") === key
    );
  }
}
