/**
 * The store on disks that are full, read-only and frozen: real file systems, small enough to fill.
 * Writes are refused by name, reads go on, and all is well again when the disk is.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { DenoDisk } from "../../shared/store/deno_disk.ts";
import { type DurableStore, openStore } from "../../shared/store/durable_store.ts";
import type { StoreOp } from "../../shared/store/port.ts";
import { testWith } from "../support/requirements.ts";
import { mountExt4, mountTmpfs } from "../support/small_disk.ts";
import { until } from "../support/until.ts";

const clock = new SystemClock();
const put = (key: string, value: unknown): StoreOp => ({ op: "put", bucket: "b", key, value });
const append = (value: string): StoreOp => ({
  op: "append",
  stream: "s",
  key: "k",
  value,
  atMs: 0,
});

async function refused(store: DurableStore, disk: string): Promise<void> {
  const error = await assertRejects(() => store.commit([put("refused", 1)]));
  assert(error instanceof AppError, String(error));
  assertEquals(error.facts.disk, disk, String(error));
}

testWith(
  ["root"],
  "a store on a full disk refuses writes, reads, and goes on when there is room",
  async () => {
    await using disk = await mountTmpfs(4);
    const dir = `${disk.dir}/store`;
    const store = await openStore({ dir, disk: new DenoDisk(), clock });
    const data = "x".repeat(20_000);
    for (let i = 0; i < 20; i++) await store.commit([put(`k${i}`, data), append(data)]);
    await disk.fill();
    let kept = 0;
    await assertRejects(async () => {
      for (;;) await store.commit([put(`n${kept}`, data), append(data)]).then(() => kept++);
    });
    assertEquals(store.problem?.kind, "full");
    assertStringIncludes(store.problem?.message ?? "", "disk is full");
    assertEquals(store.count("b"), 20 + kept);
    assertEquals(store.bulk.read("s", { limit: 1_000 }).length, 20 + kept);
    await assertRejects(() => store.snapshot());
    await disk.free();
    await store.commit([put("after", 1), append("after")]);
    await store.snapshot();
    assertEquals(store.problem, undefined);
    await store.close();
    const again = await openStore({ dir, disk: new DenoDisk(), clock });
    assertEquals([again.count("b"), again.recovery.damage], [21 + kept, []]);
    assertEquals(again.bulk.read("s", { limit: 1_000 }).length, 21 + kept);
    await again.close();
  },
);

testWith(
  ["root"],
  "streams that could not begin on a full disk can when there is room, without an append",
  async () => {
    await using disk = await mountTmpfs(4);
    const store = await openStore({ dir: `${disk.dir}/store`, disk: new DenoDisk(), clock });
    await store.commit([put("k", "v")]);
    await disk.fill();
    await assertRejects(() => store.commit([append("a")]));
    assertStringIncludes(store.bulk.problem ?? "", "full");
    await store.commit([]);
    assertStringIncludes(store.bulk.problem ?? "", "full");
    await disk.free();
    await store.commit([]);
    assertEquals([store.bulk.problem, store.problem], [undefined, undefined]);
    await store.commit([append("a")]);
    await store.close();
  },
);

testWith(
  ["loop mounts"],
  "a store whose file system turns read-only refuses writes, reads on, and opens again",
  async () => {
    await using disk = await mountExt4(32);
    const dir = `${disk.dir}/store`;
    const store = await openStore({ dir, disk: new DenoDisk(), clock });
    await store.commit([put("k", "v")]);
    await disk.breakDown();
    await refused(store, "read-only");
    assertEquals([store.problem?.kind, store.get("b", "k")], ["read-only", "v"]);
    await clock.sleep(1_100);
    await refused(store, "read-only");
    await store.close();
    const again = await openStore({ dir, disk: new DenoDisk(), clock });
    assertEquals(again.get("b", "k"), "v");
    await refused(again, "read-only");
    await again.close();
  },
);

testWith(
  ["loop mounts"],
  "a store on a disk that does not answer says so, reads, and goes on by itself",
  async () => {
    await using disk = await mountExt4(32);
    const store = await openStore({ dir: `${disk.dir}/store`, disk: new DenoDisk(), clock });
    await store.commit([put("k", "v")]);
    await disk.freeze();
    // beyond what is written in the event loop's own thread, as a large object is
    const stuck = store.commit([put("big", "x".repeat(100_000))]);
    void stuck.catch(() => {}); // looked at below, or beside the point after a failure
    try {
      await until(() => store.problem?.kind === "slow", { what: "slow", timeoutMs: 30_000 });
      assertEquals(store.get("b", "k"), "v");
    } finally {
      await disk.thaw();
    }
    await stuck;
    assertEquals(store.problem, undefined);
    await store.close();
  },
);
