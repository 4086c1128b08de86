import { assert, assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import type { Device } from "../../shared/k8s/devices.ts";
import { WAITING_PER_DEVICE_MAX } from "./mailboxes.ts";
import type { TwinChange } from "./port.ts";
import { named, TwinWorld } from "./testing.ts";

const SIGNAL = new AbortController().signal;

function desiring(property: string, value: string | undefined) {
  return (device: Device) => {
    device.spec.properties = [{
      name: property,
      ...(value === undefined ? {} : { desired: { value } }),
    }];
  };
}

Deno.test("a report is on disk when it is answered; the cloud gets the whole device", async () => {
  const world = await TwinWorld.start("a");
  const { events } = await world.report("a", { temperature: "21.50", serial: 'A 1 {"x": "ü"}' });
  assertEquals(events.map((event) => event.kind), ["reported", "reported", "state"]);
  world.open();
  const twin = world.twins.twin(named("a"), "temperature");
  assertEquals([twin?.reported?.value, twin?.reported?.version], ["21.50", 1]);
  const [report] = await world.drain();
  assert(report?.kind === "device_status");
  assertEquals([report.device.uid, report.status.state], ["uid-a", "online"]);
  assertEquals(report.status.twins?.map((t) => [t.propertyName, t.reported?.value]), [
    ["serial", 'A 1 {"x": "ü"}'],
    ["temperature", "21.50"],
  ]);
});

Deno.test("what says nothing new writes nothing", async () => {
  const world = await TwinWorld.start("a");
  await world.report("a", { count: "1" });
  const before = world.store.lastSequence;
  assertEquals((await world.report("a", { count: "1" })).events, []);
  await world.engine.sync();
  assertEquals(world.store.lastSequence, before);
});

Deno.test("refusals name the rule and the property, and nothing of them is taken", async () => {
  const world = await TwinWorld.start("a");
  const cases: [Record<string, string>, string, string][] = [
    [{ nosuch: "1" }, "not_found", "unknown_property"],
    [{ count: "1.5" }, "invalid", "type"],
    [{ count: "9223372036854775808" }, "invalid", "type"],
    [{ temperature: "85.6" }, "invalid", "range"],
    [{ serial: "ok", on: "yes" }, "invalid", "type"],
    [{ blob: "%%" }, "invalid", "type"],
    [{ serial: "ü".repeat(40_000) }, "invalid", "too_big"],
  ];
  for (const [values, code, rule] of cases) {
    const error = await assertRejects(() => world.report("a", values), AppError);
    assertEquals([error.code, error.facts.rule], [code, rule]);
  }
  const unknown = await assertRejects(() => world.report("b", { count: "1" }), AppError);
  assertEquals(unknown.facts.rule, "unknown_device");
  assertEquals(world.twins.twin(named("a"), "serial")?.reported, undefined);
  assertEquals(world.twins.counts().rejections.type, 4);
});

Deno.test("a partial report is taken where it can be", async () => {
  const world = await TwinWorld.start("a");
  const twins = { count: { value: "x" }, temperature: { value: "1e1" } };
  const { events, rejections } = await world.twins.report(named("a"), { twins, partial: true });
  assertEquals(rejections.map((r) => [r.property, r.rule]), [["count", "type"]]);
  assertEquals(events.filter((e) => e.kind === "reported").length, 1);
});

Deno.test("many commands at once share commits, and each sees the one before", async () => {
  const world = await TwinWorld.start("a", "b");
  const before = world.store.lastSequence;
  await Promise.all(
    Array.from({ length: 100 }, (_, i) => world.report(i % 2 ? "a" : "b", { count: String(i) })),
  );
  assertEquals(world.twins.twin(named("a"), "count")?.reported?.version, 50);
  assertEquals(world.twins.twin(named("a"), "count")?.reported?.value, "99");
  assertEquals(world.store.lastSequence - before, 2);
});

Deno.test("a commit that fails changes nothing, and says so to all who asked", async () => {
  const world = await TwinWorld.start("a");
  await world.drain();
  world.store.failNext(new AppError("exhausted", "disk is full"));
  const asked = [world.report("a", { count: "1" }), world.report("a", { count: "2" })];
  for (const each of asked) await assertRejects(() => each, AppError, "full");
  assertEquals(world.twins.twin(named("a"), "count")?.reported, undefined);
  assertEquals([world.twins.get(named("a"))?.life.state, await world.drain()], ["unknown", []]);
  await world.report("a", { count: "3" });
  assertEquals(world.twins.twin(named("a"), "count")?.reported?.version, 1);
});

Deno.test("a flood is refused beyond its bound, and the rest is kept", async () => {
  const world = await TwinWorld.start("a");
  const flood = Array.from(
    { length: WAITING_PER_DEVICE_MAX + 5 },
    (_, i) => world.report("a", { count: String(i) }).then(() => "ok", (e: AppError) => e.code),
  );
  const answers = await Promise.all(flood);
  assertEquals(answers.filter((a) => a === "exhausted").length, 5);
  assertEquals(world.twins.counts().rejections.busy, 5);
  assertEquals(world.twins.counts().waiting, 0);
});

Deno.test("a desired value of the Device is pending until the device has followed", async () => {
  const world = await TwinWorld.start("a");
  world.putDevice("a", desiring("temperature", "20"));
  await world.engine.sync();
  const pending = () => world.twins.twin(named("a"), "temperature")?.pending;
  assertEquals(pending(), true);
  await world.report("a", { temperature: "20.0" });
  assertEquals(pending(), false);
  world.putDevice("a", desiring("temperature", "21"));
  await world.engine.sync();
  world.putDevice("a", desiring("temperature", "20"));
  await world.engine.sync();
  assertEquals(pending(), true); // it may have gone to 21 meanwhile
  await world.report("a", { temperature: "20.0" });
  assertEquals(pending(), false);
  world.putDevice("a", desiring("temperature", undefined));
  await world.engine.sync();
  assertEquals(world.twins.twin(named("a"), "temperature")?.desired, undefined);
});

Deno.test("devices that did not change are not told of; those that did, once", async () => {
  const world = await TwinWorld.start("a", "b");
  const feed = world.twins.subscribe();
  assertEquals((await feed.next(SIGNAL)).kind, "resync");
  const changes = async () => {
    const item = await feed.next(SIGNAL);
    return item.kind === "changes" ? item.changes.map(shortOf) : [item.kind];
  };
  world.putDevice("b", (device) => device.metadata.labels = { seen: "yes" });
  world.putDevice("a", (device) => device.spec.protocol = { protocolName: "modbus" });
  await world.engine.sync();
  assertEquals(await changes(), ["updated a"]);
  world.putDevice("a", (device) => {
    device.spec.protocol = { protocolName: "modbus" };
    desiring("on", "true")(device);
    device.spec.properties![0]!.desired = { value: "true" };
  });
  await world.engine.sync();
  assertEquals(await changes(), ["updated a", "desired a on"]);
  world.removeDevice("b");
  world.putDevice("a", (device) => device.metadata.uid = "another");
  await world.engine.sync();
  assertEquals((await changes()).sort(), ["added a", "removed a", "removed b"]);
  assertEquals(world.twins.twin(named("a"), "on")?.desired, undefined);
  assertEquals(world.store.list("twins/v1"), []);
  feed.close();
});

function shortOf(change: TwinChange): string {
  return `${change.kind} ${change.device.name}` +
    ("property" in change ? ` ${change.property}` : "");
}

Deno.test("a feed that is not read is bounded, and begins anew", async () => {
  const world = await TwinWorld.start("a");
  const feed = world.twins.subscribe({ capacity: 2, kinds: ["reported"] });
  await feed.next(SIGNAL);
  for (let i = 0; i < 5; i++) await world.report("a", { count: String(i) });
  const one = await feed.next(SIGNAL);
  assert(one.kind === "changes" && one.changes.length === 1);
  const [change] = one.changes;
  assert(change?.kind === "reported");
  assertEquals([change.before.reported?.value, change.after.reported?.value], [undefined, "4"]);
  await world.report("a", { count: "9", serial: "s", on: "true" });
  assertEquals((await feed.next(SIGNAL)).kind, "resync");
  feed.close();
});

Deno.test("a silent device is unknown, then offline, and back with its word", async () => {
  const world = await TwinWorld.start();
  world.putDevice("a", (device) => device.spec.stateReport = { reportCycle: 2_000 });
  const stop = new AbortController();
  const running = world.engine.run(stop.signal).catch(() => {}); // ends by the abort
  world.ledger.changes.notify();
  await world.clock.until(() => world.twins.get(named("a")));
  await world.report("a", { count: "1" });
  const stateIs = (state: string) =>
    world.clock.until(() => world.twins.get(named("a"))?.life.state === state);
  const lastMs = world.clock.nowMs();
  await stateIs("unknown");
  const silentMs = world.clock.nowMs() - lastMs;
  assert(silentMs >= 6_000 && silentMs <= 9_000, `${silentMs} ms`);
  assertEquals(world.twins.get(named("a"))?.life.lastOnlineMs, lastMs);
  await stateIs("offline");
  await world.report("a", { count: "1" });
  assertEquals(world.twins.get(named("a"))?.life.state, "online");
  stop.abort();
  await running;
});

Deno.test("a device's own offline stands against its values, for a while", async () => {
  const world = await TwinWorld.start();
  world.putDevice("a");
  await world.engine.sync();
  const state = () => world.twins.get(named("a"))?.life.state;
  await world.report("a", { count: "1" });
  await world.twins.reportState(named("a"), "Offline");
  await world.report("a", { count: "2" });
  assertEquals([state(), world.twins.twin(named("a"), "count")?.reported?.value], ["offline", "2"]);
  await world.clock.advance(10_000);
  await world.twins.reportState(named("a"), "offline");
  await world.clock.advance(10_000);
  await world.report("a", { count: "3" });
  assertEquals(state(), "offline");
  await world.clock.advance(5_000);
  await world.report("a", { count: "4" });
  assertEquals(state(), "online");
  await world.twins.reportState(named("a"), "offline");
  await world.twins.reportState(named("a"), "ok");
  await world.report("a", { count: "5" });
  assertEquals(state(), "ok");
});

Deno.test("properties the cloud is not to be told of stay here", async () => {
  const world = await TwinWorld.start();
  world.putDevice(
    "a",
    (device) => device.spec.properties = [{ name: "count", reportToCloud: false }],
  );
  await world.engine.sync();
  await world.report("a", { serial: "s" });
  await world.drain();
  await world.report("a", { count: "1" });
  assertEquals(await world.drain(), []);
  assertEquals(world.twins.twin(named("a"), "count")?.reported?.value, "1");
});

Deno.test("without its ledger's memory no device is forgotten", async () => {
  const world = await TwinWorld.start("a");
  await world.report("a", { count: "1" });
  world.removeDevice("a");
  Object.assign(world.ledger.head, { cloudId: "" });
  await world.engine.sync();
  assertEquals(world.twins.twin(named("a"), "count")?.reported?.value, "1");
});
