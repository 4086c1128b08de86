import { assertEquals } from "@std/assert";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SeededRandom } from "../../shared/random.ts";
import { named, TwinWorld } from "../twins/testing.ts";
import { type Delivery, type Destination, DONE, type Sample, type Sender } from "./port.ts";
import { Push } from "./push.ts";
import type { QueueLimits } from "./queues.ts";

/** Destinations that do what they are told. */
class Servers {
  readonly got: Record<string, string[]> = {};
  readonly away = new Set<string>();
  readonly hanging = new Set<string>();
  refuse: (sample: Sample) => boolean = () => false;

  open = ({ address }: Destination): Promise<Sender> =>
    Promise.resolve({
      batchMax: 3,
      send: (samples: readonly Sample[], signal: AbortSignal) => {
        if (this.hanging.has(address)) {
          return new Promise<Delivery[]>((_, reject) =>
            signal.addEventListener("abort", () => reject(signal.reason), { once: true })
          );
        }
        return Promise.resolve(samples.map((sample) => this.#take(address, sample)));
      },
      close: () => Promise.resolve(),
    });

  #take(address: string, sample: Sample): Delivery {
    if (this.away.has(address)) return { kind: "later", reason: "away" };
    if (this.refuse(sample)) return { kind: "refused", reason: "no" };
    (this.got[address] ??= []).push(`${sample.device}/${sample.property}=${sample.value}`);
    return DONE;
  }
}

class PushWorld {
  readonly servers = new Servers();
  readonly world: TwinWorld;
  push!: Push;
  #scope!: TaskScope;

  constructor(world: TwinWorld) {
    this.world = world;
  }

  static async start(
    devices: Record<string, Record<string, { path: string; cycleMs?: number }>>,
    limits?: QueueLimits,
  ): Promise<PushWorld> {
    const world = await TwinWorld.start();
    const made = new PushWorld(world);
    for (const [name, properties] of Object.entries(devices)) made.put(name, properties);
    await world.engine.sync();
    made.open(limits);
    return made;
  }

  isMappers = false;

  put(name: string, properties: Record<string, { path: string; cycleMs?: number }>): void {
    this.world.putDevice(name, (device) => {
      device.spec.properties = Object.entries(properties).map(([property, { path, cycleMs }]) => ({
        name: property,
        ...(cycleMs === undefined ? {} : { reportCycle: cycleMs }),
        pushMethod: { http: { hostName: `http://${path}` } },
      }));
    });
  }

  open(limits?: QueueLimits): void {
    const { store, clock, twins } = this.world;
    this.push = new Push({
      twins,
      store,
      clock,
      random: new SeededRandom(1),
      open: this.servers.open,
      isMappers: () => this.isMappers,
      ...(limits ? { limits } : {}),
    });
    this.#scope = new TaskScope();
    this.#scope.spawn("push", (signal) => this.push.run(signal));
  }

  got(path: string): string[] {
    return this.servers.got[`http://${path}`] ?? [];
  }

  of(path: string) {
    return this.push.status().destinations.find(({ address }) => address === `http://${path}`);
  }

  async until(what: string, isSo: () => boolean): Promise<void> {
    await this.world.clock.until(isSo, { what, withinMs: 600_000 });
  }

  /** As a kill: nothing in memory is left. */
  async stop(): Promise<void> {
    this.#scope.abort();
    await this.#scope.join();
  }
}

Deno.test("Push delivers each change, in order, and nothing twice after a restart", async () => {
  const test = await PushWorld.start({ a: { count: { path: "one" } }, b: {} });
  for (let i = 1; i <= 7; i++) {
    await test.world.report("a", { count: String(i) });
    await test.until("it is there", () => test.got("one").length === i);
  }
  await test.world.report("b", { count: "99" });
  assertEquals(test.got("one").join(), "1,2,3,4,5,6,7".replace(/\d/g, "a/count=$&"));
  await test.until("it is accounted for", () => test.of("one")?.delivered === 7);
  await test.stop();
  test.open();
  await test.world.report("a", { count: "8" });
  await test.until("the next one is there", () => test.got("one").length === 8);
  assertEquals(test.got("one").at(-1), "a/count=8");
  await test.stop();
});

Deno.test("Push keeps what an absent server missed, over a restart, and delivers it", async () => {
  const test = await PushWorld.start({ a: { count: { path: "one" }, serial: { path: "two" } } });
  test.servers.away.add("http://one");
  for (const value of ["1", "2", "3"]) {
    await test.world.report("a", { count: value, serial: `s${value}` });
    await test.until("the other server has it", () =>
      test.got("two").at(-1)?.endsWith(value) === true);
  }
  await test.until("they wait", () => test.of("one")?.queued === 3);
  assertEquals(test.of("one")?.state, "waiting");
  assertEquals(test.of("one")?.problem, "away");
  await test.stop();
  test.servers.away.clear();
  test.open();
  await test.until("it is delivered", () => test.got("one").length === 3);
  assertEquals(test.got("one"), ["a/count=1", "a/count=2", "a/count=3"]);
  assertEquals(test.got("two").length, 3);
  await test.stop();
});

Deno.test("Push: what was reported while it was not running is sampled once", async () => {
  const test = await PushWorld.start({ a: { count: { path: "one" } } });
  await test.until("it follows", () => test.world.clock.pending >= 0);
  await test.stop();
  await test.world.report("a", { count: "5" });
  test.open();
  await test.until("it is there", () => test.got("one").length === 1);
  await test.until("it is accounted for", () => test.of("one")?.delivered === 1);
  await test.stop();
  test.open();
  await test.world.clock.advance(10_000);
  assertEquals(test.got("one"), ["a/count=5"]);
  await test.stop();
});

Deno.test("Push: a hanging server delays neither twins nor other servers", async () => {
  const test = await PushWorld.start({ a: { count: { path: "one" }, serial: { path: "two" } } });
  test.servers.hanging.add("http://one");
  for (let i = 1; i <= 20; i++) {
    await test.world.report("a", { count: String(i), serial: String(i) });
  }
  await test.until("the other has the latest", () => test.got("two").at(-1) === "a/serial=20");
  assertEquals(test.got("one"), []);
  await test.stop();
});

Deno.test("Push counts what a server refuses, and goes on behind it", async () => {
  const test = await PushWorld.start({ a: { count: { path: "one" } } });
  test.servers.refuse = ({ value }) => value === "2";
  for (const value of ["1", "2", "3"]) {
    await test.world.report("a", { count: value });
    const { world } = test;
    await test.until("it is settled", () => {
      const facts = test.of("one");
      return facts !== undefined && facts.queued === 0 &&
        world.store.count("push_marks/v1") === 1 &&
        facts.delivered + (facts.dropped["refused"] ?? 0) === Number(value);
    });
  }
  assertEquals(test.got("one"), ["a/count=1", "a/count=3"]);
  assertEquals(test.of("one")?.dropped, { refused: 1 });
  await test.stop();
});

Deno.test("Push: a queue is bounded, drops its oldest, and counts them exactly", async () => {
  const limits = { ttlMs: 3_600_000, rowsMax: 5, bytesMax: 1_000_000 };
  const test = await PushWorld.start({ a: { count: { path: "one" } } }, limits);
  test.servers.hanging.add("http://other");
  test.servers.away.add("http://one");
  for (let i = 1; i <= 30; i++) {
    await test.world.report("a", { count: String(i) });
    await test.until("it is queued", () => {
      const facts = test.of("one");
      const dropped = Object.values(facts?.dropped ?? {}).reduce((sum, count) => sum + count, 0);
      return (facts?.queued ?? 0) + dropped === i;
    });
  }
  test.servers.away.clear();
  await test.until("the rest is there", () => test.of("one")?.queued === 0);
  const { delivered = 0, dropped = {} } = test.of("one") ?? {};
  assertEquals(delivered + (dropped["quota"] ?? 0), 30);
  assertEquals(test.got("one").at(-1), "a/count=30");
  assertEquals(test.got("one").length, delivered);
  await test.stop();
});

Deno.test("Push with a cycle samples the latest while the device speaks", async () => {
  const cycle = { path: "one", cycleMs: 10_000 };
  const test = await PushWorld.start({ a: { count: cycle, serial: { path: "two" } } });
  await test.world.report("a", { count: "1" });
  await test.world.report("a", { count: "2" });
  await test.until("the first cycle", () => test.got("one").length === 1);
  await test.world.report("a", { count: "2" }); // the same: heard of, nothing new
  await test.until("the second cycle", () => test.got("one").length === 2);
  await test.world.clock.advance(50_000); // silence
  assertEquals(test.got("one"), ["a/count=2", "a/count=2"]);
  await test.stop();
});

Deno.test("Push delivers a removed device's last, then frees the server's place", async () => {
  const test = await PushWorld.start({ a: { count: { path: "one" } }, b: { on: { path: "two" } } });
  test.servers.away.add("http://one");
  await test.world.report("a", { count: "1" });
  await test.until("it waits", () => test.of("one")?.queued === 1);
  test.world.removeDevice("a");
  await test.world.engine.sync();
  test.servers.away.clear();
  await test.until("it is there", () => test.got("one").length === 1);
  await test.until("its mark is gone", () => test.world.store.count("push_marks/v1") === 0);
  await test.until("the place is free", () => test.of("one") === undefined);
  assertEquals(test.world.twins.get(named("a")), undefined);
  await test.stop();
});

Deno.test("Push leaves to a mapper what a mapper pushes", async () => {
  const test = await PushWorld.start({ a: { count: { path: "one" } } });
  test.isMappers = true;
  await test.world.report("a", { count: "1" });
  await test.world.clock.advance(1_000);
  test.isMappers = false;
  await test.world.report("a", { count: "2" });
  await test.until("the second is there", () => test.got("one").length > 0);
  assertEquals(test.got("one"), ["a/count=2"]);
  await test.stop();
});
