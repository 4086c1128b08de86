import { assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { Counters } from "./counters.ts";
import { Deliveries, TAKE_MS, UNTAKEN_MAX } from "./deliveries.ts";

function begin() {
  const clock = new SimClock();
  const counters = new Counters();
  const deliveries = new Deliveries({ clock, counters });
  const dropped = () => counters.read({ clients: 0, waiting: 0 }).dropped;
  return { clock, deliveries, dropped };
}

const never = () => {};

Deno.test("a publication that is not taken in time holds up its sender no longer", async () => {
  const { clock, deliveries, dropped } = begin();
  const stalled = assertRejects(() => deliveries.deliver(1, never), AppError, "within 5000 ms");
  await deliveries.deliver(1, (done) => done());
  await clock.advance(TAKE_MS);
  await stalled;
  assertEquals(dropped(), { broker_stalled: 1 });
  deliveries.close();
});

Deno.test("what nobody waits for any more still counts, until it is taken", async () => {
  const { clock, deliveries, dropped } = begin();
  const taken: (() => void)[] = [];
  const stalled = Array.from(
    { length: UNTAKEN_MAX },
    () => deliveries.deliver(1, (done) => taken.push(done)).catch(() => "late"),
  );
  await clock.advance(TAKE_MS);
  assertEquals(new Set(await Promise.all(stalled)), new Set(["late"]));
  await assertRejects(() => deliveries.deliver(1, never), AppError, "10000 messages wait");
  assertEquals(dropped(), { broker_stalled: UNTAKEN_MAX, broker_queue_full: 1 });
  taken[0]?.();
  taken[0]?.(); // said twice, counted once
  await deliveries.deliver(1, (done) => done());
  await deliveries.deliver(1, (done) => done());
  deliveries.close();
});

Deno.test("the broker's own failure is told; close ends every wait", async () => {
  const { deliveries } = begin();
  await assertRejects(() => deliveries.deliver(1, (done) => done(new Error("no"))), Error, "no");
  const waiting = assertRejects(() => deliveries.deliver(1, never), AppError);
  deliveries.close();
  await waiting;
});
