/**
 * Folders written by released formats of the store open today, with all they held. A fixture is
 * never written again: a new format adds a folder beside it.
 *
 * store_v1: journal format 1, state format 1; two snapshots, a journal of two frames behind the
 * newer one, the second with two commits.
 * store_v2: journal format 2, bulk format 1; killed with the last commit in the journal alone.
 */
import { assertEquals } from "@std/assert";
import { SystemClock } from "../../shared/clock.ts";
import { DenoDisk } from "../../shared/store/deno_disk.ts";
import { openStore } from "../../shared/store/durable_store.ts";

async function copyFixture(name: string, without: RegExp | undefined): Promise<string> {
  const to = await Deno.makeTempDir();
  const from = new URL(`./${name}/`, import.meta.url);
  for (const entry of Deno.readDirSync(from)) {
    if (without?.test(entry.name)) continue;
    Deno.copyFileSync(new URL(entry.name, from), `${to}/${entry.name}`);
  }
  return to;
}

async function holdsV1(without?: RegExp): Promise<void> {
  const dir = await copyFixture("store_v1", without);
  const store = await openStore({ dir, disk: new DenoDisk(), clock: new SystemClock() });
  assertEquals([store.lastSequence, store.recovery.damage, store.recovery.tornBytes], [5, [], 0]);
  assertEquals(store.list("pods"), [{
    key: "default/web",
    value: { kind: "Pod", metadata: { name: "web", labels: { app: "web" } }, n: 2 },
  }]);
  assertEquals(store.list("blobs").map((row) => row.value), [
    new Uint8Array([1, 2, 3]),
    2n ** 70n,
    null,
  ]);
  assertEquals(store.get("late", "é/😀"), "text");
  assertEquals(await store.commit([{ op: "put", bucket: "pods", key: "new", value: 1 }]), 6);
  await store.close();
  await Deno.remove(dir, { recursive: true });
}

Deno.test("a store of format 1 opens with all it held", () => holdsV1());

Deno.test("a store of format 1 opens from its older snapshot and the journal alone", () =>
  holdsV1(/^snapshot-0*3-/));

Deno.test("a store of journal format 2 opens with its streams", async () => {
  const dir = await copyFixture("store_v2", undefined);
  const clock = new SystemClock();
  const store = await openStore({ dir, disk: new DenoDisk(), clock });
  assertEquals([store.recovery.damage, store.recovery.tornBytes], [[], 0]);
  assertEquals(store.get("pods", "default/web"), { n: 1 });
  const records = store.bulk.read<{ n: number }>("s", { limit: 10 });
  assertEquals(records.map(({ key, value, atMs }) => [key, value.n, atMs]), [
    ["k3", 3, 1003],
    ["k4", 4, 1004],
    ["k5", 5, 1005],
  ]);
  const { rows, appended, removed, dropped } = store.bulk.stats("s");
  assertEquals([rows, appended, removed, dropped], [3, 5, 2, {}]);
  await store.close();
  await Deno.remove(dir, { recursive: true });
});
