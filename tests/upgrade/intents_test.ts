/** Intents and their reports as they were when there were intents about pods only. */
import { assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { DurableIntents } from "../../edge/intents/durable_intents.ts";
import { DurableOutbox } from "../../edge/meta/outbox.ts";
import { Changes } from "../../shared/async/wakeup.ts";
import { SeededRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { parseReport } from "../../shared/wire/report.ts";

const FILE = fromFileUrl(new URL("./intents_v1/rows.json", import.meta.url));

Deno.test("intents of pods, stored before there were others, go on where they were", async () => {
  const buckets: Record<string, Record<string, { intent: unknown }>> = JSON.parse(
    await Deno.readTextFile(FILE),
  );
  const store = new MemoryStore();
  const clock = new SimClock();
  for (const [bucket, rows] of Object.entries(buckets)) {
    for (const [key, value] of Object.entries(rows)) {
      await store.commit([{ op: "put", bucket, key, value }]);
      const report = parseReport({ kind: "intent", intent: value.intent });
      assertEquals(report.kind === "intent" && report.intent, value.intent);
    }
  }
  const intents = new DurableIntents({
    store,
    outbox: new DurableOutbox({ store, clock }),
    ledger: { changes: new Changes(), get: () => undefined },
    clock,
    random: new SeededRandom(1),
  });
  assertEquals(intents.list().map(({ verb, state }) => [verb, state]), [
    ["remove", "applied"],
    ["restart", "pending"],
  ]);
  const [act] = intents.of("uid-web");
  assertEquals([act?.holds, act?.victims], [true, ["sandbox-1"]]);
  const [restart] = intents.of("uid-db");
  assertEquals([restart?.container, restart?.graceSeconds], ["main", 5]);
});
