import { assertEquals, assertRejects } from "@std/assert";
import { SimClock } from "./sim_clock.ts";

Deno.test("advance() fires timers in order of time, then of arrival", async () => {
  const clock = new SimClock();
  const fired: string[] = [];
  const sleeps = [["late", 20], ["a", 10], ["b", 10]] as const;
  const all = sleeps.map(([name, ms]) => clock.sleep(ms).then(() => fired.push(name)));
  await clock.advance(10);
  assertEquals(fired, ["a", "b"]);
  assertEquals(clock.monotonicMs(), 10);
  await clock.advance(10);
  await Promise.all(all);
  assertEquals(fired, ["a", "b", "late"]);
});

Deno.test("sleep() rejects with the reason of its signal and leaves no timer", async () => {
  const clock = new SimClock();
  const abort = new AbortController();
  const sleeping = clock.sleep(5, abort.signal);
  abort.abort(new Error("enough"));
  await assertRejects(() => sleeping, Error, "enough");
  assertEquals(clock.pending, 0);
});

Deno.test("until() moves time to the next timer, and gives up at its bound", async () => {
  const clock = new SimClock();
  let done = false;
  const work = clock.sleep(5_000).then(() => done = true);
  await clock.until(() => done);
  await work;
  assertEquals(clock.monotonicMs(), 5_000);
  await assertRejects(
    () => clock.until(() => false, { withinMs: 10, what: "never" }),
    Error,
    "never",
  );
});

Deno.test("jumpWall() moves the wall clock and not the monotonic one", () => {
  const clock = new SimClock(1_000);
  clock.jumpWall(-500);
  assertEquals([clock.nowMs(), clock.monotonicMs()], [500, 0]);
});
