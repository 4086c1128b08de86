import { assert, assertEquals } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { MapperWorld } from "./testing.ts";

const SECOND = { collectCycle: 1_000, reportCycle: 1_000 };

function count(calls: readonly string[], start: string): number {
  return calls.filter((call) => call.startsWith(start)).length;
}

Deno.test("a device is read each collect cycle, and together what is due together", async () => {
  await using mappers = new MapperWorld();
  const device = mappers.device("a");
  device.values.set("fast", "1").set("also", "2").set("slow", "3");
  await mappers.put("a", {
    fast: SECOND,
    also: SECOND,
    slow: { collectCycle: 4_000, reportCycle: 4_000 },
  });
  await mappers.until(() => mappers.reported("a", "slow") === "3");
  assertEquals(mappers.state("a"), "online");
  device.calls.length = 0;
  await mappers.world.clock.advance(8_000);
  assertEquals(count(device.calls, "read"), 8);
  assertEquals(count(device.calls, "read fast,also,slow"), 2);
  assertEquals(mappers.room.counts().skipped, 0);
});

Deno.test("a value is collected in its cycle and reported in the other", async () => {
  await using mappers = new MapperWorld();
  const device = mappers.device("a");
  device.values.set("level", "1");
  await mappers.put("a", { level: { collectCycle: 1_000, reportCycle: 10_000 } });
  await mappers.until(() => mappers.reported("a", "level") === "1");
  device.values.set("level", "2");
  await mappers.world.clock.advance(5_000);
  assertEquals(mappers.reported("a", "level"), "1");
  await mappers.world.clock.advance(6_000);
  assertEquals(mappers.reported("a", "level"), "2");
});

Deno.test("what is desired is written when it changes, read back and reported", async () => {
  await using mappers = new MapperWorld();
  const device = mappers.device("a");
  device.values.set("level", "1");
  await mappers.put("a", { level: { ...SECOND, desired: { value: "5" } } });
  await mappers.until(() => mappers.reported("a", "level") === "5");
  await mappers.put("a", { level: { ...SECOND, desired: { value: "6" } } });
  await mappers.until(() => mappers.reported("a", "level") === "6");
  assertEquals(device.calls.filter((call) => call.startsWith("write")), [
    "write level=5",
    "write level=6",
  ]);
  assertEquals(count(device.calls, "open"), 1);
});

Deno.test("after a reconnect only what the device lost is written again", async () => {
  await using mappers = new MapperWorld();
  const device = mappers.device("a");
  device.values.set("kept", "0").set("lost", "0");
  await mappers.put("a", {
    kept: { ...SECOND, desired: { value: "7" } },
    lost: { ...SECOND, desired: { value: "8" } },
  });
  await mappers.until(() => mappers.reported("a", "lost") === "8");
  device.calls.length = 0;
  device.values.set("lost", "0");
  device.lose();
  await mappers.until(() => mappers.state("a") === "offline");
  await mappers.until(() => device.values.get("lost") === "8");
  await mappers.until(() => mappers.state("a") === "online");
  assertEquals(device.calls.filter((call) => call.startsWith("write")), ["write lost=8"]);
});

Deno.test("a device that is away is offline with its reason, and tried less often", async () => {
  await using mappers = new MapperWorld();
  const device = mappers.device("a");
  device.away = true;
  await mappers.put("a", { level: SECOND });
  await mappers.until(() => mappers.state("a") === "offline");
  assertEquals(mappers.status("a")?.reason, "No route to it");
  await mappers.world.clock.advance(600_000);
  const opens = count(device.calls, "open");
  assert(opens > 8 && opens < 60, `${opens} times in ten minutes`);
  device.away = false;
  device.values.set("level", "1");
  await mappers.until(() => mappers.state("a") === "online");
  assertEquals(mappers.reported("a", "level"), "1");
});

Deno.test("a device that hangs delays no other, even one deaf to its deadline", async () => {
  await using mappers = new MapperWorld();
  for (const [name, hangs] of [["slow", true], ["deaf", "deaf"], ["good", false]] as const) {
    const device = mappers.device(name);
    device.values.set("level", "1");
    device.hangs = hangs;
    await mappers.put(name, { level: SECOND });
  }
  await mappers.until(() => mappers.reported("good", "level") === "1");
  mappers.device("good").calls.length = 0;
  await mappers.world.clock.advance(10_000);
  assertEquals(count(mappers.device("good").calls, "read"), 10);
  assert(mappers.room.counts().lateMsMax < 1, "nothing was late");
  assert(mappers.room.counts().skipped > 0, "cycles of the slow ones were skipped");
  for (const name of ["slow", "deaf"]) {
    assertEquals(mappers.state(name), "offline");
    assertEquals(mappers.status(name)?.reason, "No answer within 3000 ms");
  }
});

Deno.test("a property in trouble makes its device unhealthy, and no other property", async () => {
  await using mappers = new MapperWorld();
  const device = mappers.device("a");
  device.values.set("good", "1").set("bad", new AppError("invalid", "Sensor is broken"));
  await mappers.put("a", { good: SECOND, bad: SECOND });
  await mappers.until(() => mappers.state("a") === "unhealthy");
  assertEquals(mappers.reported("a", "good"), "1");
  assertEquals(mappers.status("a")?.problems, { bad: "Sensor is broken" });
  device.values.set("bad", "2");
  await mappers.until(() => mappers.state("a") === "online");
  assertEquals(mappers.reported("a", "bad"), "2");
});

Deno.test("a value that is none of its type is refused by the twins, and said", async () => {
  await using mappers = new MapperWorld();
  mappers.device("a").values.set("level", "many").set("good", "1");
  await mappers.put("a", { level: SECOND, good: SECOND });
  await mappers.until(() => mappers.state("a") === "unhealthy");
  assert(/whole number/.test(mappers.status("a")?.problems["level"] ?? ""));
  assertEquals(mappers.reported("a", "good"), "1");
});

Deno.test("a write the device does not follow is said and tried again, without hurry", async () => {
  await using mappers = new MapperWorld();
  const device = mappers.device("a");
  device.values.set("level", "1").set("no", "1");
  device.lies = true;
  const no = { protocolName: "fake", configData: { refuses: true } };
  await mappers.put("a", {
    level: { ...SECOND, desired: { value: "5" } },
    no: { ...SECOND, desired: { value: "5" }, visitors: no },
  });
  await mappers.until(() => mappers.state("a") === "unhealthy");
  await mappers.world.clock.advance(30_000);
  const { level, no: refusal } = mappers.status("a")?.problems ?? {};
  assertEquals(level, 'Wrote "5", but the device says "1"');
  assertEquals(refusal, "It will not");
  const writes = count(device.calls, "write level");
  assert(writes >= 3 && writes <= 6, `${writes} writes in half a minute`);
  assertEquals(mappers.reported("a", "level"), "1");
  device.lies = false;
  await mappers.until(() => mappers.reported("a", "level") === "5");
});

Deno.test("a mapper of its own takes a protocol over, and its devices are let go", async () => {
  await using mappers = new MapperWorld();
  const device = mappers.device("a");
  device.values.set("level", "1");
  await mappers.put("a", { level: SECOND });
  await mappers.until(() => mappers.reported("a", "level") === "1");
  mappers.external.taken = true;
  mappers.external.changes.notify();
  await mappers.until(() => device.opened === 0);
  assertEquals(mappers.room.counts().devices, 0);
  mappers.external.taken = false;
  mappers.external.changes.notify();
  await mappers.until(() => device.opened === 1);
});

Deno.test("a device is begun anew when its definition changes, and ends when it goes", async () => {
  await using mappers = new MapperWorld();
  const device = mappers.device("a");
  device.values.set("level", "1").set("more", "2");
  await mappers.put("a", { level: SECOND });
  await mappers.until(() => mappers.reported("a", "level") === "1");
  await mappers.put("a", { level: SECOND, more: SECOND });
  await mappers.until(() => mappers.reported("a", "more") === "2");
  assertEquals(device.opened, 1);
  mappers.world.removeDevice("a");
  await mappers.world.engine.sync();
  await mappers.until(() => device.opened === 0);
  await mappers.put("b", { level: SECOND }, "of-somebody-else");
  await mappers.world.clock.advance(2_000);
  assertEquals(mappers.room.status(), []);
});

Deno.test("troubles of a device become events, once each, and so does their end", async () => {
  await using mappers = new MapperWorld();
  const device = mappers.device("a");
  device.values.set("level", "1").set("no", new AppError("invalid", "No such register"));
  await mappers.put("a", { level: SECOND, no: SECOND });
  await mappers.until(() => mappers.state("a") === "unhealthy");
  await mappers.world.clock.advance(60_000);
  assertEquals(mappers.events, ["Warning PropertyNotRead a: no: No such register"]);
  device.values.set("no", "3");
  await mappers.until(() => mappers.events.length === 2);
  device.away = true;
  device.lose();
  await mappers.world.clock.advance(60_000);
  device.away = false;
  await mappers.until(() => mappers.state("a") === "online");
  assertEquals(mappers.events.slice(1), [
    "Normal DeviceOnline a: All its properties are read and written again",
    "Warning DeviceUnreachable a: The line went dead",
    "Normal DeviceOnline a: The built-in mapper for fake reaches it again",
  ]);
});

Deno.test("a device that comes and goes all day is told of now and then", async () => {
  await using mappers = new MapperWorld();
  const device = mappers.device("a");
  device.values.set("level", "1");
  await mappers.put("a", { level: SECOND });
  await mappers.until(() => mappers.state("a") === "online");
  for (let round = 0; round < 60; round++) {
    device.lose();
    await mappers.world.clock.advance(10_000);
  }
  // ten minutes
  assert(mappers.events.length >= 15 && mappers.events.length <= 21, `${mappers.events.length}`);
});

Deno.test("a device mended by its manifest is told to be well again", async () => {
  await using mappers = new MapperWorld();
  const device = mappers.device("a");
  device.away = true;
  await mappers.put("a", { level: SECOND });
  await mappers.until(() => mappers.events.length === 1);
  device.away = false;
  device.values.set("level", "1").set("more", "2");
  await mappers.put("a", { level: SECOND, more: SECOND });
  await mappers.until(() => mappers.events.length === 2);
  assertEquals(mappers.events, [
    "Warning DeviceUnreachable a: No route to it",
    "Normal DeviceOnline a: The built-in mapper for fake reaches it again",
  ]);
});
