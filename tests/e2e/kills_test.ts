import { assertEquals, assertGreater } from "@std/assert";
import { ApiWrites } from "../support/kills/api_writes.ts";
import { PassingPods, SteadyPods } from "../support/kills/pods.ts";
import { killRounds, PROGRAMS } from "../support/kills/rounds.ts";
import { SiteRestarts } from "../support/kills/site_edits.ts";
import { siteTest } from "./site_test_case.ts";

/** `deno task bench kills` does hundreds; these many show that the promises are looked at. */
const ROUNDS = 12;
const SEED = 3;

siteTest("edge, cloud and runtime are killed under load, and nothing is lost", async ({ site }) => {
  const [writes, steady] = [new ApiWrites(), new SteadyPods(2)];
  const [passing, restarts] = [new PassingPods(2), new SiteRestarts()];
  await steady.start(site);
  await restarts.start(site);
  const loads = [writes, steady, passing, restarts];
  const { signal } = new AbortController();
  const options = { rounds: ROUNDS, seed: SEED, victims: PROGRAMS, loads, signal };
  const { kills, faults } = await killRounds(site, options);
  assertEquals(faults, []);
  assertEquals(Object.keys(kills).sort(), ["cloud", "edge", "runtime"]);

  // what was asked of the loads can be told from nothing at all
  const lost = await site.cloud.fetch("/api/v1/namespaces/default/configmaps/register-0", {
    method: "DELETE",
  });
  await lost.body?.cancel();
  assertGreater((await writes.faults(site)).length, 0);
});
