import { assertEquals } from "@std/assert";
import { SimClock } from "../testing/sim_clock.ts";
import { WriteBudget } from "./write_budget.ts";

const HOUR_MS = 3_600_000;

Deno.test("WriteBudget counts the last 24 hours, whatever the wall clock does", async () => {
  const clock = new SimClock();
  let bytes = 0;
  const budget = new WriteBudget({ clock, budgetBytes: 1_000, bytesWritten: () => bytes });
  for (let hour = 0; hour < 30; hour++) {
    bytes += 40;
    budget.state();
    clock.jumpWall(hour % 2 ? 10 * 365 * 24 * HOUR_MS : -10 * 365 * 24 * HOUR_MS);
    await clock.advance(HOUR_MS);
  }
  assertEquals(budget.state(), {
    budgetBytes: 1_000,
    writtenBytes: 23 * 40,
    measuredMs: 23 * HOUR_MS,
    exceeded: false,
  });
  bytes += 500;
  assertEquals(budget.state().exceeded, true);
});
