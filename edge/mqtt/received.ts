/**
 * Packet ids of QoS 2 that came and were not released: what comes again under one of them is not
 * published again. Those of clients whose session outlives their connection are on disk before they
 * are told that their message was received, and gone from it before they may use the id again.
 */
import { AppError } from "../../shared/errors.ts";
import { type BrokerStore, parseReceived, RECEIVED_BUCKET, rowsOf } from "./kept_rows.ts";

export interface Sender {
  id: string;
  /** Its session ends with its connection. */
  clean: boolean;
}

/** Clients whose ids outlive their connection. */
const LASTING_MAX = 1_000;

export class Received {
  readonly #store: BrokerStore;
  readonly #ids = new Map<string, Set<number>>();
  readonly #lasting = new Set<string>();

  constructor(store: BrokerStore) {
    this.#store = store;
    for (const { key, value } of rowsOf(store, RECEIVED_BUCKET)) {
      this.#ids.set(key, new Set(parseReceived(value)));
      this.#lasting.add(key);
    }
  }

  has({ id }: Sender, packetId: number): boolean {
    return this.#ids.get(id)?.has(packetId) ?? false;
  }

  /** AppError "exhausted" when too many clients have left some behind. */
  add({ id, clean }: Sender, packetId: number): void {
    if (!clean && !this.#lasting.has(id)) {
      if (this.#lasting.size >= LASTING_MAX) {
        throw new AppError("exhausted", `Clients with open packets must be <= ${LASTING_MAX}`);
      }
      this.#lasting.add(id);
    }
    const ids = this.#ids.get(id) ?? new Set();
    this.#ids.set(id, ids.add(packetId));
  }

  /** Before the sender is told that it was received. */
  async keep(sender: Sender): Promise<void> {
    if (!sender.clean) await this.#write(sender.id);
  }

  async release({ id, clean }: Sender, packetId: number): Promise<void> {
    const ids = this.#ids.get(id);
    if (!ids?.delete(packetId)) throw new AppError("not_found", "no such packet");
    if (!clean) await this.#write(id);
  }

  /** It was not taken, and shall come again. */
  forget({ id }: Sender, packetId: number): void {
    this.#ids.get(id)?.delete(packetId);
  }

  /** A session ends, or begins anew. */
  async clear(id: string): Promise<void> {
    this.#ids.delete(id);
    if (this.#lasting.has(id)) await this.#write(id);
  }

  async #write(id: string): Promise<void> {
    const ids = this.#ids.get(id);
    const row = { bucket: RECEIVED_BUCKET, key: id };
    if (ids && ids.size > 0) {
      await this.#store.commit([{ op: "put", ...row, value: [...ids] }]);
      return;
    }
    this.#ids.delete(id);
    await this.#store.commit([{ op: "delete", ...row }]);
    if (!this.#ids.has(id)) this.#lasting.delete(id);
  }
}
