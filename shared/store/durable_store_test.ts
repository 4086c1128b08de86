import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { SystemClock } from "../clock.ts";
import { AppError, isAppError } from "../errors.ts";
import { SeededRandom } from "../random.ts";
import { SimClock } from "../testing/sim_clock.ts";
import { DenoDisk } from "./deno_disk.ts";
import type { Disk } from "./disk.ts";
import { probeDisk } from "./disk_probe.ts";
import { openStore } from "./durable_store.ts";
import type { StoreOptions } from "./options.ts";
import type { StoreOp } from "./port.ts";
import { SimDisk } from "./sim_disk.ts";
import { storeSuite } from "./store_suite.ts";

const clock = new SystemClock();
const put = (key: string, value: unknown): StoreOp => ({ op: "put", bucket: "b", key, value });
const openWithBulk = (disk: SimDisk) =>
  openStore({ dir: "/s", disk, clock, limits: { bulkFlushBytes: 500 } });
const openSim = (disk: Disk, limits: StoreOptions["limits"] = {}) =>
  openStore({ dir: "/s", disk, clock, limits: { journalChunkBytes: 4096, ...limits } });

/** What Deno throws on a read-only file system. */
function rofs(): Error {
  return Object.assign(new Error("Read-only file system (os error 30)"), { code: "EROFS" });
}

storeSuite("simulated", async () => ({
  store: await openWithBulk(new SimDisk()),
  dispose: () => Promise.resolve(),
}));

storeSuite("real", async () => {
  const dir = await Deno.makeTempDir();
  const store = await openStore({
    dir: `${dir}/deep/store`,
    disk: new DenoDisk(),
    clock,
  });
  return { store, dispose: () => Deno.remove(dir, { recursive: true }) };
});

Deno.test("openStore() finds every commit again, from journal, snapshot and both", async () => {
  const disk = new SimDisk();
  for (let round = 0; round < 6; round++) {
    const store = await openSim(disk);
    assertEquals(store.recovery.damage, []);
    assertEquals(store.lastSequence, round * 2);
    assertEquals(store.count("b"), round);
    await store.commit([put(`k${round}`, round)]);
    await store.commit([put("k0", `again ${round}`)]);
    if (round % 2) await store.snapshot();
    await store.close();
  }
});

Deno.test("openStore() refuses a folder that is in use and names the process", async () => {
  const dir = await Deno.makeTempDir();
  const store = await openStore({ dir, disk: new DenoDisk(), clock });
  const error = await assertRejects(() => openStore({ dir, disk: new DenoDisk(), clock }));
  assert(isAppError(error, "unavailable"));
  assertStringIncludes(error.message, dir);
  assertStringIncludes(error.message, `process ${Deno.pid}`);
  await store.close();
  const again = await openStore({ dir, disk: new DenoDisk(), clock });
  await again.close();
  await Deno.remove(dir, { recursive: true });
});

Deno.test("openStore() names the folder when it cannot be used", async () => {
  const file = await Deno.makeTempFile();
  const error = await assertRejects(
    () => openStore({ dir: `${file}/store`, disk: new DenoDisk(), clock }),
    AppError,
  );
  assertStringIncludes(error.message, file);
  await Deno.remove(file);
});

Deno.test("snapshot() keeps two, and only the journal behind the older one", async () => {
  const disk = new SimDisk();
  const store = await openSim(disk);
  for (let i = 0; i < 5; i++) {
    await store.commit([put("k", i)]);
    await store.snapshot();
  }
  await store.snapshot();
  await store.close();
  assertEquals(disk.files().map((f) => f.replace(/-[0-9a-f]{32}/, "")), [
    "/s/journal-0000000000000005.cbor",
    "/s/journal-0000000000000006.cbor",
    "/s/snapshot-0000000000000004.sqlite",
    "/s/snapshot-0000000000000005.sqlite",
  ]);
});

Deno.test("store takes a snapshot by itself when the journal has grown", async () => {
  const disk = new SimDisk();
  const store = await openSim(disk, { snapshotAfterBytes: 10_000 });
  // the state itself is smaller than that: one key, written again and again
  for (let i = 0; i < 200; i++) await store.commit([put("k", "x".repeat(300))]);
  await store.close();
  assert(store.stats().snapshots >= 1, "a snapshot was taken");
  const again = await openSim(disk);
  assertEquals(again.lastSequence, 200);
  assert(again.recovery.replayed < 200, "replay starts at the snapshot");
  await again.close();
});

Deno.test("a machine that loses power again and again does not gather journals", async () => {
  const random = new SeededRandom(3);
  let disk = new SimDisk();
  for (let i = 0; i < 120; i++) {
    const store = await openSim(disk, { snapshotAfterBytes: 16 * 4096 });
    await store.commit([{ op: "put", bucket: "b", key: `k${i}`, value: i }]);
    let after: SimDisk | undefined;
    disk.onAct = (act) => {
      if (act === "sync") after ??= disk.crash(random);
    };
    await store.commit([{ op: "put", bucket: "b", key: "torn", value: "x".repeat(2_000) }]);
    disk.onAct = undefined;
    await store.close();
    disk = after!;
  }
  const journals = disk.files().filter((file) => file.includes("/journal-"));
  assert(journals.length < 50, `${journals.length} journals`);
  const store = await openSim(disk);
  assertEquals(store.list("b").filter(({ key }) => key !== "torn").length, 120);
  await store.close();
});

Deno.test("commits that wait together share one sync", async () => {
  const store = await openSim(new SimDisk());
  await Promise.all(Array.from({ length: 100 }, (_, i) => store.commit([put(`k${i}`, i)])));
  assertEquals([store.stats().commits, store.stats().syncs], [100, 1]);
  await store.close();
});

Deno.test("a full disk refuses commits with exhausted, and nothing else", async () => {
  const disk = new SimDisk();
  const store = await openSim(disk);
  await store.commit([put("kept", 1)]);
  disk.capacityBytes = 5000;
  const error = await assertRejects(() => store.commit([put("big", new Uint8Array(9000))]));
  assert(isAppError(error, "exhausted"), String(error));
  assertEquals(store.get("b", "kept"), 1);
  assertEquals(store.get("b", "big"), undefined);
  const snapshotError = await assertRejects(() => store.snapshot());
  assert(isAppError(snapshotError, "exhausted"), String(snapshotError));
  await store.commit([put("small", 2)]);
  assertEquals(disk.files().length, 1);
  disk.capacityBytes = Infinity;
  await store.commit([put("big", new Uint8Array(9000))]);
  await store.snapshot();
  await store.close();
  const again = await openSim(disk);
  assertEquals([again.count("b"), again.recovery.tornBytes, again.recovery.damage], [3, 0, []]);
  await again.close();
});

Deno.test("a store on a full disk opens and serves reads", async () => {
  const disk = new SimDisk();
  const store = await openSim(disk);
  await store.commit([put("k", 1)]);
  await store.close();
  disk.capacityBytes = 0;
  const full = await openSim(disk);
  assertEquals(full.get("b", "k"), 1);
  await full.close();
});

Deno.test("a disk that fails stops writes until it works again, reads go on", async () => {
  const disk = new SimDisk();
  const time = new SimClock();
  const store = await openStore({ dir: "/s", disk, clock: time });
  await store.commit([put("k", 1)]);
  disk.onAct = (act) => {
    if (act === "sync") throw new AppError("unavailable", "Cannot sync: input/output error");
  };
  const failed = await Promise.allSettled([store.commit([put("k", 2)]), store.snapshot()]);
  disk.onAct = undefined;
  const late = await Promise.allSettled([store.commit([put("k", 3)])]);
  for (const result of [...failed, ...late]) {
    assert(result.status === "rejected" && isAppError(result.reason, "unavailable"));
  }
  assertEquals(store.get("b", "k"), 1);
  await time.advance(1_001);
  const sequence = await store.commit([put("k", 4)]);
  assert(sequence > 65_536, "what the failed write left may not be used again");
  await store.close();
  const again = await openSim(disk.crash(new SeededRandom(1)));
  assertEquals([again.get("b", "k"), again.recovery.damage], [4, []]);
  assert(await again.commit([put("k", 5)]) > sequence);
  await again.close();
});

Deno.test("what is wrong with the disk stands until a write succeeds", async () => {
  const disk = new SimDisk();
  const time = new SimClock();
  const store = await openStore({ dir: "/s", disk, clock: time });
  const stop = new AbortController();
  const probing = probeDisk(store, time, stop.signal).catch(() => {});
  await store.commit([put("k", 1)]);
  assertEquals(store.problem, undefined);
  const troubles: [AppError, string, string][] = [
    [new AppError("exhausted", "no room"), "full", "exhausted"],
    [new AppError("unavailable", "x", {}, { cause: rofs() }), "read-only", "unavailable"],
    [new AppError("unavailable", "input/output error"), "failed", "unavailable"],
  ];
  for (const [trouble, kind, code] of troubles) {
    disk.onAct = () => {
      throw trouble;
    };
    const error = await assertRejects(() => store.commit([put("k", 2)]));
    assert(error instanceof AppError);
    assertEquals([error.code, error.facts.disk], [code, kind]);
    await time.advance(25_000);
    assertEquals([store.problem?.kind, store.problem?.forMs], [kind, 25_000]);
    assertEquals(store.get("b", "k"), 1);
    disk.onAct = undefined;
    await time.advance(10_000);
    assertEquals(store.problem, undefined);
  }
  stop.abort();
  await probing;
  await store.close();
});

Deno.test("behind a write that does not come back others are refused", async () => {
  const time = new SimClock();
  const slow = { clock: time, syncMs: 0 };
  const store = await openStore({ dir: "/s", disk: new SimDisk({ slow }), clock: time });
  const first = store.commit([put("k", 1)]);
  await time.advance(1);
  await first;
  slow.syncMs = 60_000;
  const stuck = store.commit([put("k", 2)]);
  await time.advance(5_000);
  assertEquals([store.problem?.kind, store.get("b", "k")], ["slow", 1]);
  const waiting = store.commit([put("k", 3)]);
  await time.advance(6_000);
  const error = await assertRejects(() => store.commit([put("k", 4)]));
  assert(isAppError(error, "unavailable"));
  assertStringIncludes(error.message, "does not answer");
  slow.syncMs = 0;
  await time.advance(60_000);
  await Promise.all([stuck, waiting]);
  assertEquals([store.problem, store.get("b", "k")], [undefined, 3]);
  await store.close();
});

Deno.test("a store over its bound takes deletes only", async () => {
  const store = await openSim(new SimDisk(), { stateBytesMax: 100_000 });
  for (let i = 0; i < 60; i++) {
    await store.commit([put(`k${i}`, new Uint8Array(2000))]).catch(() => {});
  }
  const error = await assertRejects(() => store.commit([put("one more", 1)]));
  assert(isAppError(error, "exhausted"), String(error));
  await store.commit(
    Array.from({ length: 40 }, (_, i) => ({ op: "delete", bucket: "b", key: `k${i}` })),
  );
  await store.commit([put("one more", 1)]);
  await store.close();
});

Deno.test("waiting commits beyond their bound are refused", async () => {
  const store = await openSim(new SimDisk(), { pendingBytesMax: 10_000 });
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, (_, i) => store.commit([put(`k${i}`, new Uint8Array(1000))])),
  );
  const refused = results.filter((r) => r.status === "rejected");
  assert(refused.length > 0 && refused.every((r) => isAppError(r.reason, "exhausted")));
  assertEquals(store.count("b"), 20 - refused.length);
  await store.close();
});

Deno.test("a snapshot is a plain SQLite file that another SQLite reads", async () => {
  const dir = await Deno.makeTempDir();
  const store = await openStore({ dir, disk: new DenoDisk(), clock });
  await store.commit([put("a", { n: 1 }), put("b", "text")]);
  await store.snapshot();
  await store.close();
  const name = [...Deno.readDirSync(dir)].map((e) => e.name).find((n) => n.endsWith(".sqlite"));
  const { DatabaseSync } = await import("node:sqlite");
  const db = new DatabaseSync(`${dir}/${name}`, { readOnly: true });
  assertEquals(db.prepare("PRAGMA integrity_check").get(), { integrity_check: "ok" });
  assertEquals(
    db.prepare("SELECT bucket, key, hex(value) AS value FROM objects").all().map((r) => ({ ...r })),
    [{ bucket: "b", key: "a", value: "A1616E01" }, { bucket: "b", key: "b", value: "6474657874" }],
  );
  assertEquals(db.prepare("SELECT value FROM meta WHERE name = 'sequence'").get()?.value, "1");
  db.close();
  await Deno.remove(dir, { recursive: true });
});

Deno.test("a loss is told at each open until a commit has gone beyond it", async () => {
  for (const damage of ["journal", "snapshot"] as const) {
    const disk = new SimDisk();
    let store = await openSim(disk);
    for (let i = 0; i < 4; i++) {
      await store.commit([put(`k${i}`, i)]);
      await store.snapshot(); // two are kept, and the journal behind the older one
    }
    await store.commit([put("after", 1)]);
    const { lastSequence } = store;
    await store.close();
    // the newest segment's header, or every snapshot: commits are gone either way
    const names = disk.files().map((path) => path.replace("/s/", ""))
      .filter((name) => name.startsWith(damage)).sort();
    for (const name of damage === "journal" ? names.slice(-1) : names) {
      const bytes = await disk.read(`/s/${name}`);
      const at = damage === "journal" ? 20 : bytes.length >> 1;
      bytes[at] = bytes[at]! ^ 0xff;
      const file = await disk.open(`/s/${name}`, "existing");
      await file.writeAt(0, bytes);
      await file.syncData();
      file.close();
    }
    for (let i = 0; i < 3; i++) {
      store = await openSim(disk);
      assertEquals([damage, i, store.recovery.lostCommits], [damage, i, true]);
      await store.close(); // as a kill before anybody could act on it
    }
    store = await openSim(disk);
    assert(await store.commit([put("handled", 1)]) > lastSequence);
    await store.close();
    store = await openSim(disk);
    assertEquals([damage, store.recovery.lostCommits], [damage, undefined]);
    await store.close();
  }
});
