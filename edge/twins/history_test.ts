import { assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { TwinHistory } from "./history.ts";
import { streamOf } from "./history_rows.ts";
import type { HistoryAnswer, HistoryQuestion } from "./port.ts";
import { named, TwinWorld } from "./testing.ts";

/** One device whose count goes 0, 1, 2 ... every ten seconds. */
async function counting(steps: number): Promise<{ world: TwinWorld; beginMs: number }> {
  const world = await TwinWorld.start("a", "b");
  const beginMs = world.clock.nowMs();
  for (let i = 0; i < steps; i++) {
    await world.report("a", { count: String(i), serial: `s${i}` });
    await world.report("b", { count: "77" });
    await world.clock.advance(10_000);
  }
  return { world, beginMs };
}

async function values(world: TwinWorld, question: HistoryQuestion): Promise<unknown[]> {
  const { points } = await world.twins.history(named("a"), question);
  return points.map((point) => point.kind === "step" ? point.last : point.value);
}

Deno.test("history is told by property, kind and time, page by page", async () => {
  const { world, beginMs } = await counting(6);
  assertEquals(await values(world, { property: "count" }), ["0", "1", "2", "3", "4", "5"]);
  const span = { fromMs: beginMs + 20_000, toMs: beginMs + 40_000 };
  assertEquals(await values(world, { property: "count", ...span }), ["2", "3"]);
  assertEquals(await values(world, { kind: "added" }), ["uid-a"]);
  assertEquals(await values(world, { kind: "state" }), ["online"]);
  const pages: HistoryAnswer[] = [];
  for (let after = -1; pages.at(-1)?.next !== undefined || pages.length === 0;) {
    const page = await world.twins.history(named("a"), { property: "serial", limit: 2, after });
    pages.push(page);
    after = page.next ?? after;
  }
  assertEquals(pages.flatMap(({ points }) => points.map((point) => point.kind)).length, 6);
  await assertRejects(() => world.twins.history(named("none"), {}), AppError, "not found");
  const backwards = { fromMs: 5, toMs: 5 };
  await assertRejects(() => world.twins.history(named("a"), backwards), AppError, "before");
});

Deno.test("history is thinned by step and aggregate", async () => {
  const { world, beginMs } = await counting(6);
  const { points } = await world.twins.history(named("a"), { property: "count", stepMs: 30_000 });
  assertEquals(points, [
    { kind: "step", atMs: beginMs, property: "count", count: 3, min: 0, max: 2, avg: 1, last: "2" },
    {
      kind: "step",
      atMs: beginMs + 30_000,
      property: "count",
      count: 3,
      min: 3,
      max: 5,
      avg: 4,
      last: "5",
    },
  ]);
  const text = await world.twins.history(named("a"), {
    property: "serial",
    stepMs: 60_000,
    aggregates: ["last"],
  });
  assertEquals(text.points, [
    { kind: "step", atMs: beginMs, property: "serial", count: 6, last: "s5" },
  ]);
  const cut = await world.twins.history(named("a"), { stepMs: 10_000, limit: 4 });
  assertEquals([cut.points.length, cut.next], [4, beginMs + 20_000]);
});

Deno.test("all twins are told as they were at a time", async () => {
  const { world, beginMs } = await counting(3);
  const at = async (ms: number) =>
    (await world.twins.at(named("a"), ms)).filter(({ reported }) => reported)
      .map(({ property, reported }) => `${property}=${reported?.value}`).sort();
  assertEquals(await at(beginMs + 15_000), ["count=1", "serial=s1"]);
  assertEquals(await at(beginMs + 99_000), ["count=2", "serial=s2"]);
  assertEquals(await at(beginMs - 1), []);
  world.putDevice("a", (device) => device.metadata.uid = "another");
  await world.engine.sync();
  await world.report("a", { count: "9" });
  assertEquals(await at(world.clock.nowMs()), ["count=9"]);
});

Deno.test("stamps made with a wrong clock are put right once the time is known", async () => {
  const world = await TwinWorld.start("a");
  world.clock.jumpWall(-365 * 24 * 3_600_000);
  world.open();
  const wrongMs = world.clock.nowMs();
  await world.report("a", { count: "1" });
  await world.clock.advance(5_000);
  await world.report("a", { count: "2" });
  const rightNowMs = Date.UTC(2027, 0, 1);
  const originMs = rightNowMs - world.clock.monotonicMs();
  await world.engine.timeIsKnown({ originMs, correctionMs: rightNowMs - world.clock.nowMs() });
  const stamps = async () =>
    (await world.twins.history(named("a"), { property: "count" })).points.map((p) => p.atMs);
  assertEquals(await stamps(), [rightNowMs - 5_000, rightNowMs]);
  assertEquals(world.twins.twin(named("a"), "count")?.reported?.atMs, rightNowMs);
  const span = { property: "count", fromMs: rightNowMs - 1, toMs: rightNowMs + 1 };
  assertEquals(await values(world, span), ["2"]);
  world.open();
  assertEquals(await stamps(), [rightNowMs - 5_000, rightNowMs]);
  assertEquals(wrongMs < rightNowMs - 5_000, true);
});

Deno.test("twins go on without history while the disk is spared", async () => {
  const world = await TwinWorld.start("a");
  Object.defineProperty(world.store.bulk, "problem", { value: "disk I/O error" });
  await world.report("a", { count: "1" });
  assertEquals(world.twins.twin(named("a"), "count")?.reported?.value, "1");
  assertEquals(await values(world, { property: "count" }), []);
  assertEquals(world.twins.pastOf.refused, 1);
});

Deno.test("the history says what it holds and may, and drops the oldest beyond it", async () => {
  const { clock, store } = await TwinWorld.start();
  const limits = { ttlMs: 3 * 24 * 60 * 60 * 1000, rowsMax: 160, bytesMax: 1e6 };
  const history = new TwinHistory({ store, clock, limits });
  for (let i = 0; i < 25; i++) {
    const value = [[0, "count", String(i), i]];
    const op = { op: "append", stream: streamOf("default/a"), key: "default/a", value } as const;
    await store.commit([{ ...op, atMs: clock.nowMs() }]);
  }
  const { rows, dropped, daysMax, rowsMax } = history.size();
  assertEquals({ rows, dropped, daysMax, rowsMax }, {
    rows: 10,
    dropped: { quota: 15 },
    daysMax: 3,
    rowsMax: 160,
  });
  const { points } = await history.ask("default/a", { limit: 1 });
  assertEquals(points.map((point) => point.kind === "reported" && point.value), ["15"]);
});
