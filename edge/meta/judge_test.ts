import { assertEquals } from "@std/assert";
import { fc } from "../../shared/testing/property.ts";
import { type DesiredBatch, inventoryDigest } from "../../shared/wire/desired.ts";
import { applyToInventory, judge } from "./judge.ts";
import type { LedgerHead, Verdict } from "./port.ts";

const head = (generation: number, digest: string): LedgerHead => ({
  cloudId: "c1",
  generation,
  digest,
});
const offer = (generation: number, digest: string, cloudId = "c1") => ({
  cloudId,
  generation,
  digest,
});

Deno.test("judge() follows its table", () => {
  const commit: Verdict = { kind: "commit" };
  const stale: Verdict = { kind: "reject", reason: "stale" };
  const conflict: Verdict = { kind: "reject", reason: "conflict" };
  const first = { cloudId: "", generation: 0, digest: "d0" };
  assertEquals(judge(first, offer(1, "d1"), "d1"), commit);
  assertEquals(judge(first, offer(7, "d1"), "d1"), commit);
  assertEquals(judge(head(3, "d3"), offer(4, "d4"), "d4"), commit);
  assertEquals(judge(head(3, "d3"), offer(9, "d9"), "d9"), commit);
  assertEquals(judge(head(3, "d3"), offer(4, "d4"), "other"), conflict);
  assertEquals(judge(head(3, "d3"), offer(3, "d3"), "d3"), { kind: "unchanged" });
  assertEquals(judge(head(3, "d3"), offer(3, "other"), "other"), conflict);
  assertEquals(judge(head(3, "d3"), offer(2, "d2"), "d2"), stale);
  assertEquals(judge(head(3, "d3"), offer(1, "d1", "c2"), "d1"), commit);
  assertEquals(judge(head(3, "d3"), offer(1, "d1", "c2"), "other"), conflict);
});

const change = fc.record({
  key: fc.constantFrom("pods/a/1", "pods/a/2", "secrets/a/1"),
  version: fc.option(fc.nat({ max: 3 })),
});

/** The cloud's history: batches, each from the state after the one before. */
function history(steps: { key: string; version: number | null }[][]): DesiredBatch[] {
  let held: ReturnType<typeof applyToInventory> = new Map();
  return steps.map((changes, i) => {
    const upserts = changes.filter((c) => c.version !== null).map(({ key, version }) => ({
      key,
      uid: `u-${key}`,
      resourceVersion: String(version),
      object: { metadata: {} },
    }));
    const deletes = changes.filter((c) => c.version === null).map((c) => c.key);
    held = applyToInventory(held, { upserts, deletes });
    const digest = inventoryDigest(held.values());
    return { cloudId: "c1", generation: i + 1, digest, upserts, deletes };
  });
}

Deno.test("judge() keeps to the cloud's history, whatever is lost, repeated or late", () => {
  fc.assert(fc.property(
    fc.array(fc.array(change, { maxLength: 3 }), { minLength: 1, maxLength: 6 }),
    fc.array(fc.nat({ max: 5 }), { maxLength: 20 }),
    (steps, deliveries) => {
      const batches = history(steps);
      let held: ReturnType<typeof applyToInventory> = new Map();
      let at: LedgerHead = { cloudId: "", generation: 0, digest: inventoryDigest([]) };
      for (const index of deliveries) {
        const batch = batches[index % batches.length]!;
        const after = applyToInventory(held, batch);
        const verdict = judge(at, batch, inventoryDigest(after.values()));
        assertEquals(
          verdict.kind === "commit",
          batch.generation > at.generation &&
            batch.digest === inventoryDigest(after.values()),
        );
        if (verdict.kind !== "commit") continue;
        held = after;
        at = { cloudId: batch.cloudId, generation: batch.generation, digest: batch.digest };
        assertEquals(judge(at, batch, inventoryDigest(applyToInventory(held, batch).values())), {
          kind: "unchanged",
        });
      }
      // what is held is what the cloud announced at that generation
      assertEquals(inventoryDigest(held.values()), at.digest);
    },
  ));
});
