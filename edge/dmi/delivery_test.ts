/** What goes out to a mapper, over the real twin engine, with a mapper that does as it is told. */
import { Code } from "@connectrpc/connect";
import { assert, assertEquals } from "@std/assert";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SeededRandom } from "../../shared/random.ts";
import { named, TwinWorld } from "../twins/testing.ts";
import { Delivery } from "./delivery.ts";
import { DeviceWorld } from "./device_world.ts";
import type { CallOutcome, MapperCall, MapperClient } from "./mapper_client.ts";
import { Told } from "./mapper_rows.ts";

const DONE: CallOutcome = { kind: "done" };
const REFUSED: CallOutcome = { kind: "refused", code: Code.Internal, message: "bus is down" };
const RECORD = { name: "m", version: "1", apiVersion: "v1", protocol: "sim", address: "/m.sock" };

/** A mapper in memory; `answer` decides each call, `up` whether it can be reached. */
class TestMapper {
  readonly calls: string[] = [];
  up = true;
  answer: (call: MapperCall) => CallOutcome | Promise<CallOutcome> = () => DONE;

  readonly connect = (_address: string, _onLost: () => void): MapperClient => {
    const isUp = () => this.up;
    return {
      connect: () => Promise.resolve(this.up ? undefined : "nobody listens"),
      get isConnected() {
        return isUp();
      },
      call: async (call) => {
        if (!this.up) return { kind: "away", message: "nobody listens" };
        this.calls.push(textOf(call));
        return await this.answer(call);
      },
      close: () => Promise.resolve(),
    };
  };

  /** What was called since the last look. */
  take(): string[] {
    return this.calls.splice(0);
  }
}

function textOf(call: MapperCall): string {
  if ("name" in call) return `${call.kind} ${call.name.name}`;
  return `${call.kind} ${"device" in call ? call.device.name : call.model.name}`;
}

class World implements AsyncDisposable {
  readonly mapper = new TestMapper();
  readonly scope = new TaskScope();
  readonly node: TwinWorld;
  readonly devices: DeviceWorld;
  delivery!: Delivery;

  constructor(node: TwinWorld) {
    this.node = node;
    this.devices = new DeviceWorld(node.ledger);
  }

  static async start(...names: string[]): Promise<World> {
    const world = new World(await TwinWorld.start(...names));
    await world.open();
    return world;
  }

  /** As after a start of the edge. */
  async open(): Promise<void> {
    const { clock, store, twins } = this.node;
    const { devices, mapper } = this;
    await devices.build(twins, this.scope.signal);
    this.delivery = new Delivery({
      record: RECORD,
      told: new Told(store, "sim"),
      wanted: (key) => devices.wanted("sim", key),
      connect: mapper.connect,
      clock,
      random: new SeededRandom(1),
    });
    this.delivery.lookAtAll(devices.keysOf("sim"));
    const delivery = this.delivery;
    this.scope.spawn("delivery", (signal) => delivery.run(signal));
  }

  async settled(): Promise<void> {
    await this.node.clock.until(() => this.delivery.status().waiting === 0, {
      withinMs: 3_600_000,
      what: "nothing waits",
    });
  }

  look(name: string): void {
    const { keys } = this.devices.update(named(name));
    this.delivery.look(keys);
  }

  async desire(name: string, value: string): Promise<void> {
    const desire = { property: "temperature", value, intent: `set ${name} ${value}` };
    await this.node.twins.desireAtSite(named(name), desire, { ops: [] });
    this.look(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.scope[Symbol.asyncDispose]();
  }
}

Deno.test("models come first, then devices; a desired value is an update", async () => {
  await using world = await World.start("a", "b");
  await world.settled();
  const [model, ...devices] = world.mapper.take();
  assertEquals(model, "create_model sensor");
  assertEquals(devices.sort(), ["register_device a", "register_device b"]);
  await world.node.report("a", { temperature: "20" });
  world.delivery.lookAtAll(world.devices.keysOf("sim"));
  await world.settled();
  assertEquals(world.mapper.take(), []);
  await world.desire("a", "21.5");
  await world.settled();
  assertEquals(world.mapper.take(), ["update_device a"]);
});

Deno.test("after a restart of the edge only differences are told", async () => {
  await using world = await World.start("a", "b");
  await world.settled();
  world.scope.abort();
  await world.scope.join();
  world.mapper.take();
  const { node, mapper } = world;
  await node.twins.desireAtSite(
    named("b"),
    { property: "temperature", value: "3", intent: "i" },
    { ops: [] },
  );
  node.open();
  await node.engine.sync();
  await using next = new World(node);
  next.mapper.answer = mapper.answer;
  await next.open();
  await next.settled();
  assertEquals(next.mapper.take(), ["update_device b"]);
});

Deno.test("what changes while the mapper is away is told once, as it is then", async () => {
  await using world = await World.start("a");
  await world.settled();
  world.mapper.take();
  world.mapper.up = false;
  await world.desire("a", "1");
  await world.node.clock.until(() => world.delivery.status().connection.kind === "away");
  await world.desire("a", "2");
  await world.node.clock.advance(600_000);
  assert(world.delivery.status().waiting > 0);
  world.mapper.up = true;
  await world.settled();
  assertEquals(world.mapper.take(), ["update_device a"]);
});

Deno.test("a registration with data makes all of it known", async () => {
  await using world = await World.start("a", "b");
  await world.settled();
  world.mapper.take();
  let release = (_outcome: CallOutcome) => {};
  world.mapper.answer = () => new Promise((resolve) => release = resolve);
  await world.desire("a", "1");
  await world.node.clock.until(() => world.mapper.calls.length === 1);
  world.mapper.answer = () => DONE;
  const all = new Map([...world.devices.keysOf("sim")].map((key) => {
    const wanted = world.devices.wanted("sim", key);
    assert(wanted && wanted !== "hold");
    return [key, wanted.digest];
  }));
  await world.delivery.registered(RECORD, () => Promise.resolve(all));
  release(REFUSED); // of the mapper before: it says nothing of this one
  await world.settled();
  world.mapper.take();
  world.delivery.lookAtAll(world.devices.keysOf("sim"));
  await world.settled();
  assertEquals(world.mapper.take(), []);
  await world.delivery.registered(RECORD, () => Promise.resolve(new Map()));
  world.delivery.lookAtAll(world.devices.keysOf("sim"));
  await world.settled();
  assertEquals(world.mapper.take().length, 3, "one without data is told all of it");
});

Deno.test("a device the mapper refuses is tried again, and holds up no other", async () => {
  await using world = await World.start("a", "b");
  world.mapper.answer = (call) => textOf(call) === "register_device a" ? REFUSED : DONE;
  await world.node.clock.until(() => world.delivery.status().devices === 1);
  assertEquals(world.delivery.refusal("d/default/a"), {
    call: "register_device",
    message: "bus is down",
  });
  world.mapper.answer = () => DONE;
  await world.settled();
  assertEquals(world.delivery.status().devices, 2);
  assertEquals(world.delivery.refusal("d/default/a"), undefined);
});

Deno.test("a mapper that lost a device, or has it already, is told the other way", async () => {
  await using world = await World.start("a");
  await world.settled();
  world.mapper.take();
  const refuse = (kind: string, code: Code) => (call: MapperCall): CallOutcome =>
    call.kind === kind ? { ...REFUSED, code } : DONE;
  world.mapper.answer = refuse("update_device", Code.Unknown);
  await world.desire("a", "1");
  await world.settled();
  assertEquals(world.mapper.take(), ["update_device a", "register_device a"]);
  world.mapper.answer = refuse("remove_device", Code.NotFound);
  world.node.removeDevice("a");
  await world.node.engine.sync();
  world.look("a");
  await world.settled();
  assertEquals(world.mapper.take(), ["remove_device a", "remove_model sensor"]);
  assertEquals(world.delivery.status().devices, 0);
});

Deno.test("what changed since a device was made known without an answer is an update", async () => {
  await using world = await World.start("a");
  const { mapper } = world;
  mapper.answer = (call) => call.kind === "register_device" ? { kind: "silent" } : DONE;
  await world.node.clock.until(() => world.delivery.refusal("d/default/a") !== undefined);
  assertEquals(mapper.take(), ["create_model sensor", "register_device a"]);
  world.delivery.look(["d/default/a"]);
  await world.node.clock.until(() => mapper.calls.length === 1);
  assertEquals(mapper.take(), ["register_device a"], "the same again costs a mapper nothing");
  await world.desire("a", "1");
  await world.settled();
  assertEquals(mapper.take(), ["update_device a"]);
});

Deno.test("a removal refused without a reason is not asked for ever", async () => {
  await using world = await World.start("a");
  await world.settled();
  const { mapper } = world;
  mapper.take();
  mapper.answer = () => ({ kind: "refused", code: Code.Unknown, message: "can not find device" });
  world.node.removeDevice("a");
  await world.node.engine.sync();
  world.look("a");
  await world.settled();
  const calls = mapper.take();
  assertEquals(calls.filter((call) => call === "remove_device a").length, 3);
  assertEquals(world.delivery.status().devices, 0);
});

Deno.test("a device waits for its model, and is not taken back when that goes", async () => {
  await using world = await World.start("a");
  await world.settled();
  world.mapper.take();
  world.node.ledger.delete("devicemodels.devices.kubeedge.io/default/sensor");
  world.node.putDevice("b");
  await world.node.engine.sync();
  world.look("a");
  world.look("b");
  await world.settled();
  assertEquals(world.mapper.take(), []);
  world.node.putModel();
  await world.node.engine.sync();
  world.look("b");
  await world.settled();
  assertEquals(world.mapper.take(), ["register_device b"]);
});

Deno.test("a mapper that never answers is let be for a while, and asked again", async () => {
  await using world = await World.start(...Array.from({ length: 20 }, (_, i) => `d${i}`));
  world.mapper.answer = () => ({ kind: "silent" });
  await world.node.clock.until(() => world.delivery.status().connection.kind === "away", {
    withinMs: 600_000,
  });
  world.mapper.answer = () => DONE;
  await world.settled();
  assertEquals(world.delivery.status().devices, 20);
});
