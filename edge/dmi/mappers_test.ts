/** A registration that has little time, over the real twin engine. */
import { assert, assertEquals } from "@std/assert";
import { TaskScope } from "../../shared/async/task_scope.ts";
import type { Clock } from "../../shared/clock.ts";
import { SeededRandom } from "../../shared/random.ts";
import { TwinWorld } from "../twins/testing.ts";
import { MapperRegistry } from "./mappers.ts";

const RECORD = { name: "m", version: "1", apiVersion: "v1", protocol: "sim", address: "/m.sock" };
const DEVICES = 200;

Deno.test("a mapper that waits a second is given what is ready by then", async () => {
  const names = Array.from({ length: DEVICES }, (_, at) => `d${at}`);
  const world = await TwinWorld.start(...names);
  let nowMs = 0;
  // each look at the time costs ten milliseconds
  const clock: Clock = {
    nowMs: () => world.clock.nowMs(),
    monotonicMs: () => nowMs += 10,
    sleep: (delayMs, signal) => world.clock.sleep(delayMs, signal),
  };
  const registry = new MapperRegistry({
    store: world.store,
    objects: world.ledger,
    twins: () => world.twins,
    deviceChanges: world.twins.changes,
    clock,
    random: new SeededRandom(1),
  });
  await using scope = new TaskScope();
  scope.spawn("mappers", (signal) => registry.run(signal));
  const some = await registry.register(RECORD, true, 1_000);
  assertEquals(some.modelList?.length, 1, "models come first");
  const given = some.deviceList?.length ?? 0;
  assert(given > 0 && given < DEVICES, `${given} devices`);
  assertEquals(registry.ofProtocol("sim")?.devices, given, "the others are to be told");
  const all = await registry.register(RECORD, true);
  assertEquals(all.deviceList?.length, DEVICES);
});
