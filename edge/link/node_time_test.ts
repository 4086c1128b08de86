import { assert, assertEquals } from "@std/assert";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { NodeTime, TOLERANCE_MS } from "./node_time.ts";

const YEAR_MS = 365 * 86_400_000;
const TRUE_MS = Date.parse("2026-03-01T12:00:00Z");

Deno.test("NodeTime is the machine's clock until the cloud has spoken", () => {
  const clock = new SimClock(0);
  const time = new NodeTime(clock);
  assertEquals(time.nowMs(), 0);
  assertEquals(time.status(), { known: false, correctionMs: 0 });
});

Deno.test("NodeTime takes the cloud's time where the machine is years off", async () => {
  for (const offMs of [-10 * YEAR_MS, 10 * YEAR_MS, -TRUE_MS]) {
    const clock = new SimClock(TRUE_MS + offMs);
    const time = new NodeTime(clock);
    await clock.advance(5_000);
    const asked = clock.monotonicMs();
    await clock.advance(200);
    const learned = time.learn(TRUE_MS + 5_100, asked);
    assertEquals(time.nowMs(), TRUE_MS + 5_200);
    assertEquals(learned.correctionMs, -offMs);
    // what was done at monotonic 1 000 was done a second after the beginning
    assertEquals(learned.originMs + 1_000, TRUE_MS + 1_000);
    await clock.advance(YEAR_MS);
    assertEquals(time.nowMs(), TRUE_MS + 5_200 + YEAR_MS);
    // told again, there is nothing left to put right
    const again = time.learn(TRUE_MS + 5_200 + YEAR_MS, clock.monotonicMs());
    assertEquals([again.correctionMs, time.status().correctionMs], [0, -offMs]);
  }
});

Deno.test("NodeTime keeps the machine's clock where the two agree", () => {
  const clock = new SimClock(TRUE_MS);
  const time = new NodeTime(clock);
  assertEquals(time.learn(TRUE_MS + TOLERANCE_MS, 0).correctionMs, 0);
  assertEquals(time.nowMs(), TRUE_MS);
  assert(time.learn(TRUE_MS + TOLERANCE_MS + 1, 0).correctionMs > TOLERANCE_MS);
});

Deno.test("NodeTime does not jump with the machine, and lets go when that is set right", () => {
  const clock = new SimClock(TRUE_MS - YEAR_MS);
  const time = new NodeTime(clock);
  time.learn(TRUE_MS, 0);
  clock.jumpWall(10 * YEAR_MS);
  assertEquals(time.nowMs(), TRUE_MS);
  clock.jumpWall(-20 * YEAR_MS);
  assertEquals(time.nowMs(), TRUE_MS);
  clock.jumpWall(11 * YEAR_MS + 3_000); // NTP at last, three seconds better than we knew
  assertEquals(time.nowMs(), TRUE_MS + 3_000);
  assertEquals(time.status().correctionMs, 0);
});
