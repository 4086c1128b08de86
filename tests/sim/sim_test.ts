import { assertEquals, assertNotEquals } from "@std/assert";
import seeds from "./seeds.json" with { type: "json" };
import { runSim } from "./run.ts";

interface KeptSeed {
  seed: number;
  days: number;
  nodes: number;
  cause: string;
}

/** Some seconds of the real clock; `deno task sim --seeds 50` runs more. */
const QUICK_SEEDS = [101, 102, 103];
const QUICK = { nodes: 2, days: 0.01 };

Deno.test("the same seed is the same history, to the last message", async () => {
  const first = await runSim({ seed: 7, ...QUICK });
  const again = await runSim({ seed: 7, ...QUICK });
  assertEquals(again.digest, first.digest);
  const other = await runSim({ seed: 8, ...QUICK });
  assertNotEquals(other.digest, first.digest);
});

for (const seed of QUICK_SEEDS) {
  Deno.test(`nothing that must hold is violated in seed ${seed}`, async () => {
    assertEquals((await runSim({ seed, ...QUICK })).violations, []);
  });
}

for (const { seed, days, nodes, cause } of seeds as KeptSeed[]) {
  Deno.test(`seed ${seed} stays well: ${cause}`, async () => {
    assertEquals((await runSim({ seed, days, nodes })).violations, []);
  });
}

Deno.test("a node that was cut off for hours comes back as it should be", async () => {
  assertEquals((await runSim({ seed: 1, nodes: 1, days: 0.2, isOffline: true })).violations, []);
});
