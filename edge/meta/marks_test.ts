import { assertEquals } from "@std/assert";
import { SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import type { Report } from "../../shared/wire/report.ts";
import { DurableOutbox } from "./outbox.ts";

/** A device whose report is a count of changes. */
class World {
  readonly store = new MemoryStore();
  changes = 0;
  outbox = this.open();

  open(): DurableOutbox {
    const outbox = new DurableOutbox({ store: this.store, clock: new SystemClock() });
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

  /** Sequences and contents that are due. */
  due(): [number, string][] {
    return this.outbox.pending(0, 10).map(({ sequence, report }) => [
      sequence,
      report.kind === "device_status" ? report.status.state ?? "" : "",
    ]);
  }

  async acknowledge(): Promise<void> {
    await this.outbox.acknowledge(this.outbox.pending(0, 10).map((item) => item.sequence));
  }
}

Deno.test("many changes are one mark, and the report says the latest", async () => {
  const world = new World();
  assertEquals(await world.change(), 1);
  assertEquals([await world.change(), await world.change()], [0, 0]);
  assertEquals(world.due().map(([, state]) => state), ["3"]);
  await world.acknowledge();
  assertEquals([world.outbox.pending(0, 10), world.outbox.stats().depth], [[], 0]);
  assertEquals(await world.change(), 1);
});

Deno.test("what changes after it was handed out is sent again, under a new sequence", async () => {
  const world = new World();
  await world.change();
  const [[first, state] = [0, ""]] = world.due();
  await world.change();
  await world.outbox.acknowledge([first]);
  const [[second, later] = [0, ""]] = world.due();
  assertEquals([state, later, second > first], ["1", "2", true]);
  await world.acknowledge();
  assertEquals(world.due(), []);
});

Deno.test("a change on its way to the disk is not lost to an acknowledgement", async () => {
  const world = new World();
  await world.change();
  const [[first] = [0]] = world.due();
  await Promise.all([world.change(), world.outbox.acknowledge([first])]);
  assertEquals(world.due().map(([, state]) => state), ["2"]);
  // and the other way round: the acknowledgement is on its way first
  const [[second] = [0]] = world.due();
  const acknowledged = world.outbox.acknowledge([second]);
  assertEquals(await world.change(), 1);
  await acknowledged;
  assertEquals(world.due().map(([, state]) => state), ["3"]);
});

Deno.test("after a restart what waits is sent, and sent again as it may have been sent", async () => {
  const world = new World();
  await world.change();
  world.due();
  await world.change();
  world.outbox = world.open();
  const [[first, state] = [0, ""]] = world.due();
  assertEquals(state, "2");
  await world.outbox.acknowledge([first]);
  assertEquals(world.due().map(([sequence]) => sequence > first), [true]);
  await world.acknowledge();
  assertEquals(world.due(), []);
});

Deno.test("a change that failed leaves no mark, and one that stands stays", async () => {
  const world = new World();
  const failed = async () => {
    world.store.failNext(new AppError("exhausted", "disk is full"));
    await world.change().catch(() => {});
  };
  await failed();
  assertEquals(world.due(), []);
  await world.change();
  await failed();
  assertEquals(world.due().map(([, state]) => state), ["1"]);
  const removal = world.outbox.stageRemoval("device/d/a");
  await world.store.commit(removal.ops);
  removal.done(true);
  assertEquals([world.due(), world.outbox.stats().depth], [[], 0]);
});
