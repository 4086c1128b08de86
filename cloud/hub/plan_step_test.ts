import { assert, assertEquals } from "@std/assert";
import { fc } from "../../shared/testing/property.ts";
import { decodeBody } from "../../shared/wire/codec.ts";
import { type DesiredItem, inventoryDigest } from "../../shared/wire/desired.ts";
import { inParts, planStep, toInventory } from "./plan_step.ts";

function item(key: string, resourceVersion: string, uid = "u", padding = ""): DesiredItem {
  return { key, uid, resourceVersion, object: { metadata: { name: key }, padding } };
}

function byKey(items: DesiredItem[]): Map<string, DesiredItem> {
  return new Map(items.map((i) => [i.key, i]));
}

Deno.test("planStep() sends what is new, changed or made anew under its old name", () => {
  const held = toInventory([
    item("same", "1"),
    item("old", "1"),
    item("gone", "1"),
    item("re", "1"),
  ]);
  const want = byKey([item("same", "1"), item("old", "2"), item("new", "1"), item("re", "1", "v")]);
  const step = planStep(held, want);
  assertEquals(step.upserts.map((u) => u.key), ["old", "new", "re"]);
  assertEquals(step.deletes, ["gone"]);
});

Deno.test("planStep() leaves a node what is spared, and says so", () => {
  const held = toInventory([item("re", "1", "u"), item("gone", "1"), item("old", "1")]);
  const want = byKey([item("re", "1", "v"), item("old", "2")]);
  const spared = {
    absent: () => true,
    replaced: ({ uid }: DesiredItem) => uid === "v",
    older: () => false,
  };
  const step = planStep(held, want, spared);
  assertEquals([step.upserts.map((u) => u.key), step.deletes, step.spares], [["old"], [], true]);
  assertEquals(step.kept, ["re"]);
  const older = planStep(held, want, { ...spared, older: (had) => had.key === "old" });
  assertEquals([older.upserts, older.kept], [[], ["re", "old"]]);
  assertEquals(planStep(held, want).spares, false);
});

Deno.test("planStep() applied to what is held gives the projection's digest", () => {
  const state = fc.dictionary(fc.constantFrom(..."abcdefgh"), fc.nat(3));
  fc.assert(fc.property(state, state, (have, want) => {
    const toItems = (d: Record<string, number>) =>
      Object.entries(d).map(([key, version]) => item(key, String(version)));
    const held = toInventory(toItems(have));
    const step = planStep(held, byKey(toItems(want)));
    for (const key of step.deletes) held.delete(key);
    for (const upsert of step.upserts) held.set(upsert.key, upsert);
    assertEquals(inventoryDigest(held.values()), inventoryDigest(toItems(want)));
  }));
});

Deno.test("inParts() gives one part for an empty step", () => {
  const parts = [...inParts({ upserts: [], deletes: [] }, 100)];
  assertEquals(parts, [{ upserts: [], deletes: [], more: false, bytes: 0 }]);
});

Deno.test("inParts() keeps within its bound and loses nothing", () => {
  const upserts = Array.from({ length: 40 }, (_, i) => item(`k${i}`, "1", "u", "x".repeat(i * 10)));
  upserts.push(item("large", "1", "u", "x".repeat(5_000)));
  const deletes = Array.from({ length: 40 }, (_, i) => `d${i}`);
  const parts = [...inParts({ upserts, deletes }, 1_000)];
  assert(parts.length > 10);
  assertEquals(parts.map((p) => p.more), [...parts.slice(1).map(() => true), false]);
  for (const part of parts) assert(part.bytes <= 1_000 || part.upserts.length === 1);
  assertEquals(parts.flatMap((p) => p.deletes), deletes);
  const sent = parts.flatMap((p) => p.upserts);
  assertEquals(sent.map((u) => u.key), upserts.map((u) => u.key));
  assertEquals(sent.map((u) => decodeBody(u.object, u.key)), upserts.map((u) => u.object));
});
