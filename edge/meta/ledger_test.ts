import { assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { type DesiredBatch, inventoryDigest } from "../../shared/wire/desired.ts";
import { DurableLedger } from "./ledger.ts";

function batch(generation: number, ledger: DurableLedger, keys: string[], deletes: string[] = []) {
  const upserts = keys.map((key) => ({
    key,
    uid: `uid-${key}`,
    resourceVersion: String(generation),
    object: { kind: "Pod", metadata: { name: key, resourceVersion: String(generation) } },
  }));
  const held = new Map(ledger.inventory().map((e) => [e.key, e]));
  for (const { object: _, ...entry } of upserts) held.set(entry.key, entry);
  for (const key of deletes) held.delete(key);
  const digest = inventoryDigest(held.values());
  return { cloudId: "c1", generation, digest, upserts, deletes } satisfies DesiredBatch;
}

Deno.test("DurableLedger applies a batch, publishes it, and holds it after a restart", async () => {
  const store = new MemoryStore();
  const ledger = new DurableLedger(store);
  let published = 0;
  ledger.changes.subscribe(() => published++);
  assertEquals(ledger.head.generation, 0);
  const first = batch(1, ledger, ["pods/a/x", "pods/a/y", "secrets/a/x"]);
  assertEquals(await ledger.accept(first), { kind: "commit" });
  assertEquals(await ledger.accept(batch(2, ledger, ["pods/a/y"], ["pods/a/x"])), {
    kind: "commit",
  });
  assertEquals(published, 2);
  for (const held of [ledger, new DurableLedger(store)]) {
    assertEquals(held.head.generation, 2);
    assertEquals(held.head.digest, ledger.head.digest);
    assertEquals(held.list("pods").map((p) => p.metadata.resourceVersion), ["2"]);
    assertEquals(held.get("secrets/a/x")?.metadata.resourceVersion, "1");
    assertEquals(held.get("pods/a/x"), undefined);
    assertEquals(held.inventory().map((e) => e.key).sort(), ["pods/a/y", "secrets/a/x"]);
  }
});

Deno.test("DurableLedger changes nothing on stale, repeated and conflicting batches", async () => {
  const ledger = new DurableLedger(new MemoryStore());
  const first = batch(5, ledger, ["pods/a/x"]);
  await ledger.accept(first);
  let published = 0;
  ledger.changes.subscribe(() => published++);
  assertEquals(await ledger.accept(first), { kind: "unchanged" });
  const old = batch(4, ledger, ["pods/a/z"]);
  assertEquals(await ledger.accept(old), { kind: "reject", reason: "stale" });
  const wrong = { ...batch(6, ledger, ["pods/a/z"]), digest: "0" };
  assertEquals(await ledger.accept(wrong), { kind: "reject", reason: "conflict" });
  assertEquals([ledger.head.generation, ledger.inventory().length, published], [5, 1, 0]);
});

Deno.test("DurableLedger takes batches that arrive together one after another", async () => {
  const ledger = new DurableLedger(new MemoryStore());
  const scratch = new DurableLedger(new MemoryStore());
  const batches: DesiredBatch[] = [];
  for (let i = 1; i <= 5; i++) {
    batches.push(batch(i, scratch, [`pods/a/p${i}`]));
    await scratch.accept(batches.at(-1)!);
  }
  const verdicts = await Promise.all(batches.map((b) => ledger.accept(b)));
  assertEquals(verdicts.map((v) => v.kind), Array(5).fill("commit"));
  assertEquals(ledger.head, scratch.head);
});

Deno.test("DurableLedger keeps the old state when the disk refuses, and tries again", async () => {
  const store = new MemoryStore();
  const ledger = new DurableLedger(store);
  const first = batch(1, ledger, ["pods/a/x"]);
  store.failNext(new AppError("exhausted", "disk is full"));
  await assertRejects(() => ledger.accept(first), AppError, "disk is full");
  assertEquals([ledger.head.generation, ledger.inventory()], [0, []]);
  assertEquals(await ledger.accept(first), { kind: "commit" });
});

Deno.test("DurableLedger refuses keys that are none", async () => {
  const ledger = new DurableLedger(new MemoryStore());
  await assertRejects(() => ledger.accept(batch(1, ledger, ["pods"])), AppError, "pods");
});

Deno.test("DurableLedger once distrusted keeps what it holds, takes any generation", async () => {
  const store = new MemoryStore();
  const ledger = new DurableLedger(store);
  await ledger.accept(batch(7, ledger, ["pods/a/x"]));
  await ledger.distrust();
  const reopened = new DurableLedger(store);
  assertEquals([reopened.head.cloudId, reopened.inventory().length], ["", 1]);
  assertEquals(await reopened.accept(batch(2, reopened, ["pods/a/y"])), { kind: "commit" });
  assertEquals(reopened.inventory().length, 2);
});
