import { assertEquals } from "@std/assert";
import { SimClock } from "../testing/sim_clock.ts";
import { MemoryStore } from "./memory_store.ts";
import type { Written } from "./options.ts";
import { type DiskBudget, WriteBudget } from "./write_budget.ts";

const HOUR_MS = 3_600_000;

/** A program's run: what it wrote, and its budget. */
function programOn(store: MemoryStore, clock: SimClock, limitBytes = 1_000) {
  const written: Written = { journal: 0, snapshot: 0, bulk: 0 };
  const told: DiskBudget[] = [];
  const budget = new WriteBudget({
    clock,
    limitBytes,
    store,
    written: () => written,
    onState: (state) => Promise.resolve(void told.push(state)),
  });
  return { written, told, budget };
}

async function runFor(
  { budget }: { budget: WriteBudget },
  clock: SimClock,
  hours: number,
  each: () => void,
): Promise<void> {
  const stop = new AbortController();
  const done = budget.run(stop.signal).catch(() => {});
  for (let hour = 0; hour < hours; hour++) {
    each();
    await clock.advance(HOUR_MS);
  }
  stop.abort();
  await done;
}

Deno.test("WriteBudget counts the last 24 hours, whatever the wall clock does", async () => {
  const clock = new SimClock();
  const { written, budget } = programOn(new MemoryStore(), clock);
  for (let hour = 0; hour < 30; hour++) {
    written.journal += 40;
    budget.state();
    clock.jumpWall(hour % 2 ? 10 * 365 * 24 * HOUR_MS : -10 * 365 * 24 * HOUR_MS);
    await clock.advance(HOUR_MS);
  }
  assertEquals(budget.state(), {
    limitBytes: 1_000,
    writtenBytes: 23 * 40,
    measuredMs: 23 * HOUR_MS,
    state: "near",
    totals: { journal: 1_200, snapshot: 0, bulk: 0 },
  });
  written.bulk += 500;
  assertEquals(budget.state().state, "exceeded");
});

Deno.test("WriteBudget goes on after a restart with what was written before", async () => {
  const clock = new SimClock();
  const store = new MemoryStore();
  const first = programOn(store, clock);
  await runFor(first, clock, 10, () => first.written.journal += 30);
  const second = programOn(store, clock);
  assertEquals(second.budget.state().writtenBytes, 300);
  await runFor(second, clock, 20, () => second.written.snapshot += 10);
  const { writtenBytes, totals } = programOn(store, clock).budget.state();
  // of the first run the last hours are still within a day
  assertEquals(writtenBytes, 200 + (24 - 21) * 30);
  assertEquals(totals, { journal: 300, snapshot: 200, bulk: 0 });
});

Deno.test("WriteBudget keeps its count once an hour at most while little is written", async () => {
  const clock = new SimClock();
  const store = new MemoryStore();
  const program = programOn(store, clock, 1_000_000);
  await runFor(program, clock, 48, () => program.written.journal += 1);
  assertEquals(store.lastSequence <= 49, true, `commits: ${store.lastSequence}`);
});

Deno.test("WriteBudget tells when it is exceeded, again a day later, and when not", async () => {
  const clock = new SimClock();
  const program = programOn(new MemoryStore(), clock);
  await runFor(program, clock, 30, () => program.written.journal += 100);
  await runFor(program, clock, 30, () => {});
  const states = program.told.map((budget) => budget.state);
  assertEquals(states, ["near", "exceeded", "exceeded", "near", "ok"]);
  assertEquals(program.budget.exceeded, false);
});
