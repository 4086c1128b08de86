import { assertEquals, assertGreater } from "@std/assert";
import { ApiWrites } from "../support/kills/api_writes.ts";
import { PassingPods, SteadyPods } from "../support/kills/pods.ts";
import { killRounds, PROGRAMS } from "../support/kills/rounds.ts";
import { SiteRestarts } from "../support/kills/site_edits.ts";
import { Broker, TwinUpdates } from "../support/kills/twins.ts";
import { siteTest } from "./site_test_case.ts";

/** `deno task bench kills` does hundreds; these many show that the promises are looked at. */
const ROUNDS = 12;
const SEED = 3;

const broker = new Broker();

siteTest(
  "edge, cloud, runtime and broker are killed under load, and nothing is lost",
  async ({ site }) => {
    await using mosquitto = broker;
    await mosquitto.start(site);
    const [writes, steady] = [new ApiWrites(), new SteadyPods(2)];
    const [passing, restarts] = [new PassingPods(2), new SiteRestarts()];
    const twins = new TwinUpdates(mosquitto);
    for (const load of [steady, restarts, twins]) await load.start(site);
    const loads = [writes, steady, passing, restarts, twins];
    const { signal } = new AbortController();
    const victims = [...PROGRAMS, mosquitto];
    const { kills, faults } = await killRounds(site, {
      rounds: ROUNDS,
      seed: SEED,
      victims,
      loads,
      signal,
    });
    assertEquals(faults, []);
    assertEquals(Object.keys(kills).sort(), ["broker", "cloud", "edge", "runtime"]);

    // what was asked of the loads can be told from nothing at all
    const lost = await site.cloud.fetch("/api/v1/namespaces/default/configmaps/register-0", {
      method: "DELETE",
    });
    await lost.body?.cancel();
    assertGreater((await writes.faults(site)).length, 0);
  },
  { joinFlags: () => broker.joinFlags, parts: ["mosquitto"] },
);
