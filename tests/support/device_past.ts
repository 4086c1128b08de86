/** The past of many devices on a real disk, written straight into the history: for its bench. */
import { type HistoryQuestion, TwinHistory } from "../../edge/twins/history.ts";
import { type HistoryRow, historyStreams, streamOf } from "../../edge/twins/history_rows.ts";
import { SystemClock } from "../../shared/clock.ts";
import { DenoDisk } from "../../shared/store/deno_disk.ts";
import { type DurableStore, openStore } from "../../shared/store/durable_store.ts";
import { deviceName, NAMESPACE, propertyName } from "./device_node.ts";

/** Commits on their way together. */
const TOGETHER = 2_000;
/** Visits devices in no order. */
const STRIDE = 7_919;

export class DevicePast {
  readonly #store: DurableStore;
  readonly #history: TwinHistory;

  private constructor(store: DurableStore) {
    this.#store = store;
    this.#history = new TwinHistory({ store, clock: new SystemClock() });
  }

  static async open(dir: string): Promise<DevicePast> {
    return new DevicePast(await openStore({ dir, disk: new DenoDisk(), clock: new SystemClock() }));
  }

  /** So many changes of so many devices, one each `everyMs`. */
  async fill(
    { records, devices, beginMs, everyMs }: {
      records: number;
      devices: number;
      beginMs: number;
      everyMs: number;
    },
    signal: AbortSignal,
  ): Promise<void> {
    for (let from = 0; from < records; from += TOGETHER) {
      signal.throwIfAborted();
      const count = Math.min(TOGETHER, records - from);
      await Promise.all(Array.from({ length: count }, (_, i) => {
        const n = from + i;
        const key = keyOf(n * STRIDE % devices);
        const value: HistoryRow[] = [[0, propertyName(n % 10), (n / 1_000).toFixed(3), n]];
        const atMs = beginMs + n * everyMs;
        return this.#store.commit([{ op: "append", stream: streamOf(key), key, value, atMs }]);
      }));
    }
  }

  async index(): Promise<void> {
    for (const stream of historyStreams()) this.#history.index(stream);
    await this.#history.settled();
  }

  /** Of the bytes of the history. */
  get indexShare(): number {
    const sum = (names: string[]) =>
      names.reduce((bytes, name) => bytes + this.#store.bulk.stats(name).bytes, 0);
    const streams = historyStreams();
    return sum(streams.map((name) => name.replace("history", "index"))) / sum(streams);
  }

  async look(device: number, question: HistoryQuestion): Promise<void> {
    await this.#history.ask(keyOf(device), question);
  }

  async close(): Promise<void> {
    await this.#store.close();
  }
}

function keyOf(device: number): string {
  return `${NAMESPACE}/${deviceName(device)}`;
}
