/**
 * Flipped bits and cuts in the real bulk file, on a real disk, for `crash_test.ts` and `deno task
 * bench crash`: either the damage is told and every record still has exactly one fate, or all
 * records are there as they were written.
 */
import { assert, assertEquals } from "@std/assert";
import { SystemClock } from "../clock.ts";
import type { Random } from "../random.ts";
import { DenoDisk } from "./deno_disk.ts";
import { openStore } from "./durable_store.ts";
import type { Store } from "./port.ts";

const RECORDS = 400;
const STREAM = "readings";

const open = (dir: string) => openStore({ dir, disk: new DenoDisk(), clock: new SystemClock() });

const text = (i: number) => `${i} `.repeat(1 + i % 60);

export class BulkUnderDamage {
  readonly counts = { flips: 0, cuts: 0, removed: 0, detected: 0, harmless: 0, lost: 0 };
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /** A store with records in its bulk file, some removed, the journal cut behind them. */
  static async make(dir: string): Promise<BulkUnderDamage> {
    const store = await open(`${dir}/good`);
    for (let i = 0; i < RECORDS; i += 8) {
      await store.commit(Array.from({ length: 8 }, (_, j) => ({
        op: "append",
        stream: STREAM,
        key: `k${i + j}`,
        value: text(i + j),
        atMs: i + j,
      })));
      await store.commit([{ op: "put", bucket: "b", key: "i", value: i }]);
      if (i % 160 === 0) await store.snapshot();
    }
    const old = store.bulk.read(STREAM, { limit: 50 }).map((record) => record.id);
    await store.commit([{ op: "remove", stream: STREAM, ids: old }]);
    await store.snapshot();
    await store.commit([{ op: "put", bucket: "b", key: "i", value: RECORDS }]);
    await store.snapshot();
    await store.close();
    return new BulkUnderDamage(dir);
  }

  async dispose(): Promise<void> {
    await Deno.remove(this.#dir, { recursive: true });
  }

  async tryOne(random: Random, i: number): Promise<void> {
    const dir = `${this.#dir}/try`;
    await Deno.mkdir(dir);
    for await (const { name } of Deno.readDir(`${this.#dir}/good`)) {
      await Deno.copyFile(`${this.#dir}/good/${name}`, `${dir}/${name}`);
    }
    const what = await this.#damage(`${dir}/bulk.sqlite`, random, i);
    const store = await open(dir);
    try {
      assertEquals(store.get("b", "i"), RECORDS, what);
      this.#judge(store, what);
      await store.commit([{ op: "append", stream: STREAM, key: "k", value: "new", atMs: 1 }]);
      assertEquals(store.bulk.read(STREAM, { newestFirst: true, limit: 1 })[0]?.value, "new");
    } finally {
      await store.close();
    }
    const again = await open(dir);
    assertEquals([again.recovery.damage, sum(again)], [[], RECORDS + 1], `told once: ${what}`);
    await again.close();
    await Deno.remove(dir, { recursive: true });
  }

  async #damage(path: string, random: Random, i: number): Promise<string> {
    const bytes = await Deno.readFile(path);
    if (i % 20 === 19) {
      this.counts.removed++;
      await Deno.remove(path);
      return "file is gone";
    }
    const cut = i % 4 === 0;
    const at = Math.floor(random.float() * bytes.length);
    if (cut) await Deno.truncate(path, at);
    else {
      bytes[at]! ^= 1 << Math.floor(random.float() * 8);
      await Deno.writeFile(path, bytes);
    }
    cut ? this.counts.cuts++ : this.counts.flips++;
    return `${cut ? "cut" : "flip"} at ${at} of ${bytes.length}`;
  }

  #judge(store: Store, what: string): void {
    const records = store.bulk.read<string>(STREAM, { limit: 2 * RECORDS });
    for (const { key, value } of records) assertEquals(value, text(Number(key.slice(1))), what);
    assertEquals(sum(store), RECORDS, what);
    const { rows, dropped } = store.bulk.stats(STREAM);
    assertEquals(rows, records.length, what);
    if (store.recovery.damage.length === 0) {
      assertEquals([rows, dropped], [RECORDS - 50, {}], `not detected: ${what}`);
      this.counts.harmless++;
      return;
    }
    assert(rows <= RECORDS - 50, what);
    this.counts.detected++;
    this.counts.lost += RECORDS - 50 - rows;
  }
}

/** Every record appended is held, removed, or dropped. */
function sum(store: Store): number {
  const { rows, removed, dropped, appended } = store.bulk.stats(STREAM);
  const all = rows + removed + Object.values(dropped).reduce((total, count) => total + count, 0);
  assertEquals(all, appended);
  return appended;
}
