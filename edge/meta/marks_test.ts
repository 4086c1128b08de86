import { assert, assertEquals } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import type { Report } from "../../shared/wire/report.ts";
import { DurableOutbox } from "./outbox.ts";

/** A device whose report is a count of changes. */
class World {
  readonly store = new MemoryStore();
  readonly clock = new SimClock();
  changes = 0;
  outbox = this.open();

  open(): DurableOutbox {
    const outbox = new DurableOutbox({ store: this.store, clock: this.clock });
    outbox.makeWith({ has: (key) => key === "device/d/a", make: () => this.report() });
    return outbox;
  }

  report(): Report {
    const device = { namespace: "d", name: "a", uid: "u" };
    return { kind: "device_status", device, status: { state: String(this.changes) } };
  }

  /** One more change; how many rows it wrote. */
  async change(): Promise<number> {
    const staged = this.outbox.stageMark("device/d/a");
    let ok = false;
    try {
      await this.store.commit([
        { op: "put", bucket: "x", key: "x", value: this.changes + 1 },
        ...staged.ops,
      ]);
      this.changes++;
      ok = true;
    } finally {
      staged.done(ok);
    }
    return staged.ops.filter((op) => op.op === "put" && op.bucket === "outbox/v1").length;
  }

  /** Sequences and contents that are due a while later. */
  async due(): Promise<[number, string][]> {
    await this.clock.advance(1_000);
    return this.outbox.pending(0, 10).map(({ sequence, report }) => [
      sequence,
      report.kind === "device_status" ? report.status.state ?? "" : "",
    ]);
  }

  async acknowledge(): Promise<void> {
    await this.clock.advance(1_000);
    await this.outbox.acknowledge(this.outbox.pending(0, 10).map((item) => item.sequence));
  }
}

Deno.test("many changes are one mark, and the report says the latest", async () => {
  const world = new World();
  assertEquals(await world.change(), 1);
  assertEquals([await world.change(), await world.change()], [0, 0]);
  assertEquals((await world.due()).map(([, state]) => state), ["3"]);
  await world.acknowledge();
  assertEquals([world.outbox.pending(0, 10), world.outbox.stats().depth], [[], 0]);
  assertEquals(await world.change(), 1);
});

Deno.test("what changes after it was handed out is sent again, under a new sequence", async () => {
  const world = new World();
  await world.change();
  const [[first, state] = [0, ""]] = await world.due();
  await world.change();
  await world.outbox.acknowledge([first]);
  const [[second, later] = [0, ""]] = await world.due();
  assertEquals([state, later, second > first], ["1", "2", true]);
  await world.acknowledge();
  assertEquals(await world.due(), []);
});

Deno.test("a change on its way to the disk is not lost to an acknowledgement", async () => {
  const world = new World();
  await world.change();
  const [[first] = [0]] = await world.due();
  await Promise.all([world.change(), world.outbox.acknowledge([first])]);
  assertEquals((await world.due()).map(([, state]) => state), ["2"]);
  // and the other way round: the acknowledgement is on its way first
  const [[second] = [0]] = await world.due();
  const acknowledged = world.outbox.acknowledge([second]);
  assertEquals(await world.change(), 1);
  await acknowledged;
  assertEquals((await world.due()).map(([, state]) => state), ["3"]);
});

Deno.test("after a restart what waits is sent twice, as it may have been sent", async () => {
  const world = new World();
  await world.change();
  await world.due();
  await world.change();
  world.outbox = world.open();
  const [[first, state] = [0, ""]] = await world.due();
  assertEquals(state, "2");
  await world.outbox.acknowledge([first]);
  assertEquals((await world.due()).map(([sequence]) => sequence > first), [true]);
  await world.acknowledge();
  assertEquals(await world.due(), []);
});

Deno.test("a change that failed leaves no mark, and one that stands stays", async () => {
  const world = new World();
  const failed = async () => {
    world.store.failNext(new AppError("exhausted", "disk is full"));
    await world.change().catch(() => {});
  };
  await failed();
  assertEquals(await world.due(), []);
  await world.change();
  await failed();
  assertEquals((await world.due()).map(([, state]) => state), ["1"]);
  const removal = world.outbox.stageRemoval("device/d/a");
  await world.store.commit(removal.ops);
  removal.done(true);
  assertEquals([await world.due(), world.outbox.stats().depth], [[], 0]);
});

Deno.test("what changes all the time is told at once, and then at a pace", async () => {
  const world = new World();
  const stop = new AbortController();
  const running = world.outbox.run(stop.signal).catch(() => {}); // ends by the abort
  let told = 0;
  const unsubscribe = world.outbox.changes.subscribe(() => {
    const items = world.outbox.pending(0, 10);
    for (const item of items) told += Number(item.report.kind === "device_status");
    // the changes below go on whatever becomes of it
    if (items.length > 0) void world.outbox.acknowledge(items.map((item) => item.sequence));
  });
  for (let i = 0; i < 100; i++) {
    await world.change();
    if (i === 0) assertEquals(told, 1);
    await world.clock.advance(100);
  }
  assert(told >= 9 && told <= 12, `${told} reports`);
  await world.clock.until(() => world.outbox.stats().depth === 0);
  unsubscribe();
  stop.abort();
  await running;
});
