/**
 * Desired state as accepted from the cloud: judged, committed whole with its head, then published,
 * and only then may it be acknowledged. Batches are taken one at a time. Identities and versions
 * are kept in memory for the digest; objects are read from the store.
 */
import { KeyedMutex } from "../../shared/async/keyed_mutex.ts";
import { Changes } from "../../shared/async/wakeup.ts";
import { roomLogger } from "../../shared/log.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import type { Store, StoreOp } from "../../shared/store/port.ts";
import {
  type DesiredBatch,
  entryOf,
  inventoryDigest,
  type InventoryEntry,
} from "../../shared/wire/desired.ts";
import { parseObjectKey } from "../../shared/wire/keys.ts";
import { BUCKET } from "./buckets.ts";
import { applyToInventory, judge } from "./judge.ts";
import type { Ledger, LedgerHead, Verdict } from "./port.ts";

const log = roomLogger("edge", "meta");

interface DesiredRow {
  uid: string;
  resourceVersion: string;
  object: KubeObject;
}

export class DurableLedger implements Ledger {
  readonly changes = new Changes();
  readonly #store: Store;
  readonly #mutex = new KeyedMutex();
  /** Rows sealed with a key that is lost: not held, so that the cloud sends them again. */
  #unreadable: string[];
  #inventory: ReadonlyMap<string, InventoryEntry>;
  #head: LedgerHead;

  constructor(store: Store) {
    this.#store = store;
    this.#inventory = new Map(
      store.list<DesiredRow>(BUCKET.desired).map((
        { key, value },
      ) => [key, entryOf({ key, ...value })]),
    );
    const areAllRead = this.#inventory.size === store.count(BUCKET.desired);
    this.#unreadable = areAllRead ? [] : store.unreadable(BUCKET.desired);
    if (this.#unreadable.length > 0) {
      log.error("Sealed objects cannot be read; the cloud will be asked for them", {
        objects: this.#unreadable.length,
      });
    }
    const digest = inventoryDigest(this.#inventory.values());
    const stored = store.get<LedgerHead>(BUCKET.ledger, "head") ??
      { cloudId: "", generation: 0 };
    // the digest is of what is really held, whatever was written beside it
    this.#head = { ...stored, digest };
  }

  get head(): LedgerHead {
    return this.#head;
  }

  get<T extends KubeObject>(key: string): T | undefined {
    // The resource in the key says which kind it is; the caller names its type.
    return this.#store.get<DesiredRow>(BUCKET.desired, key)?.object as T | undefined;
  }

  list<T extends KubeObject>(resource: string): T[] {
    return this.#store.list<DesiredRow>(BUCKET.desired, { prefix: `${resource}/` })
      .map((row) => row.value.object as T); // as in `get`
  }

  inventory(): InventoryEntry[] {
    return [...this.#inventory.values()];
  }

  /**
   * For when the store lost commits: what is absent here may still be desired. The head is
   * forgotten, durably, as before the first session: nothing is stopped for being absent, and the
   * cloud compares whole inventories before it goes on. `also` is what else must be durable with
   * it: once anything is, the loss is not told again.
   */
  async distrust(also: readonly StoreOp[] = []): Promise<void> {
    const head: LedgerHead = { cloudId: "", generation: 0, digest: this.#head.digest };
    const forget: StoreOp = { op: "put", bucket: BUCKET.ledger, key: "head", value: head };
    await this.#store.commit([forget, ...also]);
    this.#head = head;
  }

  async accept(batch: DesiredBatch): Promise<Verdict> {
    for (const { key } of batch.upserts) parseObjectKey(key);
    return await this.#mutex.run("", () => this.#accept(batch));
  }

  async #accept(batch: DesiredBatch): Promise<Verdict> {
    const after = applyToInventory(this.#inventory, batch);
    const verdict = judge(this.#head, batch, inventoryDigest(after.values()));
    if (verdict.kind !== "commit") return verdict;
    const { cloudId, generation, digest } = batch;
    const head: LedgerHead = { cloudId, generation, digest };
    const replaced = new Set(batch.upserts.map((item) => item.key));
    const gone = this.#unreadable.filter((key) => !replaced.has(key));
    await this.#store.commit([
      ...gone.map((key): StoreOp => ({ op: "delete", bucket: BUCKET.desired, key })),
      ...batch.upserts.map(({ key, ...value }): StoreOp => ({
        op: "put",
        bucket: BUCKET.desired,
        key,
        value: value satisfies DesiredRow,
      })),
      ...batch.deletes.map((key): StoreOp => ({ op: "delete", bucket: BUCKET.desired, key })),
      { op: "put", bucket: BUCKET.ledger, key: "head", value: head },
    ]);
    this.#unreadable = [];
    this.#inventory = after;
    this.#head = head;
    this.changes.notify();
    return verdict;
  }
}
