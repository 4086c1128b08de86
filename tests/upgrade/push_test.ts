/** Values that waited for a server in the first layout of the queues: they are delivered today. */
import { assertEquals } from "@std/assert";
import { type Delivery, DONE, type Sample } from "../../edge/push/port.ts";
import { Push } from "../../edge/push/push.ts";
import { TwinWorld } from "../../edge/twins/testing.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SeededRandom } from "../../shared/random.ts";
import { fillStore, parseRows } from "./rows.ts";

Deno.test("values that waited are delivered, and counted on", async () => {
  const world = await TwinWorld.start();
  const text = await Deno.readTextFile(new URL("./push_v1/rows.json", import.meta.url));
  await fillStore(world.store, parseRows(text));
  const delivered: Sample[] = [];
  let isAway = true;
  const push = new Push({
    twins: world.twins,
    store: world.store,
    clock: world.clock,
    random: new SeededRandom(1),
    open: () =>
      Promise.resolve({
        batchMax: 10,
        send: (samples: readonly Sample[]) => {
          if (!isAway) delivered.push(...samples);
          const away: Delivery = { kind: "later", reason: "away" };
          return Promise.resolve(samples.map(() => (isAway ? away : DONE)));
        },
        close: () => Promise.resolve(),
      }),
  });
  await using scope = new TaskScope();
  scope.spawn("push", (signal) => push.run(signal));
  await world.clock.until(() => push.status().destinations[0]?.state === "waiting");
  const [found] = push.status().destinations;
  assertEquals([found?.kind, found?.address], ["influxdb2", "http://influx:8086"]);
  assertEquals([found?.queued, found?.delivered, found?.dropped], [2, 1, { refused: 1 }]);
  isAway = false;
  await world.clock.until(() => delivered.length === 2);
  assertEquals(delivered.map(({ device, value, type, detail }) => [device, value, type, detail]), [
    ["m1", "3", "DOUBLE", { measurement: "plant", field: "temp", tags: { site: "north" } }],
    ["m1", "4", "DOUBLE", { measurement: "plant", field: "temp", tags: { site: "north" } }],
  ]);
  // its device is gone since: so is what was known of its last value
  await world.clock.until(() =>
    world.store.count("push_destinations/v1") === 0 && world.store.count("push_marks/v1") === 0
  );
  assertEquals(delivered.length, 2);
});
