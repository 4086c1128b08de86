import { assert, assertEquals } from "@std/assert";
import type { Clock } from "../../shared/clock.ts";
import { SeededRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { DurableEventLog, EVENTS_MAX } from "./event_log.ts";
import { DurableOutbox } from "./outbox.ts";
import type { EventInput } from "./port.ts";

class HandClock implements Clock {
  ms = Date.UTC(2026, 0, 1);
  nowMs(): number {
    return this.ms;
  }
  monotonicMs(): number {
    return this.ms;
  }
  sleep(): Promise<void> {
    return Promise.reject(new Error("nothing here sleeps"));
  }
}

function make(store = new MemoryStore(), clock = new HandClock()) {
  const outbox = new DurableOutbox({ store, clock });
  const random = new SeededRandom(1);
  const open = () => new DurableEventLog({ store, outbox, clock, random, nodeName: "n1" });
  return { store, clock, outbox, open, log: open() };
}

const input = (message = "Pulled image", name = "web"): EventInput => ({
  involvedObject: { kind: "Pod", namespace: "d", name, uid: "u" },
  type: "Normal",
  reason: "Pulled",
  message,
});

Deno.test("DurableEventLog writes events as Kubernetes has them and reports them", async () => {
  const { log, outbox } = make();
  await log.record(input());
  const [event] = log.list();
  assert(event && event.metadata.name?.startsWith("web."));
  assertEquals(event.metadata.namespace, "d");
  assertEquals([event.count, event.firstTimestamp, event.source], [1, "2026-01-01T00:00:00Z", {
    component: "skerry-edge",
    host: "n1",
  }]);
  assertEquals(outbox.pending(0, 10).map((i) => i.report), [{ kind: "event", event }]);
});

Deno.test("DurableEventLog counts repeats within the window, over a restart too", async () => {
  const { log, open, clock, outbox } = make();
  await Promise.all([log.record(input()), log.record(input()), log.record(input("other"))]);
  clock.ms += 60_000;
  await open().record(input());
  const counts = () => log.list().map((e) => [e.message, e.count]);
  assertEquals(counts(), [["other", 1], ["Pulled image", 3]]);
  assertEquals(outbox.stats().depth, 2);
  clock.ms += 11 * 60_000;
  await open().record(input());
  assertEquals(counts(), [["other", 1], ["Pulled image", 3], ["Pulled image", 1]]);
});

Deno.test("DurableEventLog is bounded by rows and by age", async () => {
  const { log, clock, store } = make();
  for (let i = 0; i < EVENTS_MAX + 10; i++) await log.record(input(`m${i}`));
  assertEquals(store.count("events/v1"), EVENTS_MAX);
  assertEquals(log.list().some((e) => e.message === "m9"), false);
  clock.ms += 25 * 60 * 60 * 1000;
  for (let i = 0; i < 10; i++) await log.record(input("today", `p${i}`));
  assertEquals(store.count("events/v1"), EVENTS_MAX + 10 - 40);
});

Deno.test("DurableEventLog cuts messages to what Kubernetes takes", async () => {
  const { log } = make();
  await log.record(input("x".repeat(5000)));
  assertEquals(log.list()[0]?.message?.length, 1024);
});

Deno.test("DurableEventLog puts stamps right once the time is known, and says so", async () => {
  const { log, open, clock, outbox } = make();
  await log.record(input("before the restart"));
  const log2 = open();
  clock.ms = 1_000; // a node without a clock; its monotonic clock begins here too
  await log2.record(input("at 1 s"));
  clock.ms = 3_000;
  await log2.record(input("at 1 s"));
  await log2.record(input("at 3 s"));
  const originMs = Date.UTC(2026, 5, 1);
  clock.ms = 10_000;
  await log2.timeIsKnown({ originMs, correctionMs: originMs });
  const stamps = log2.list().map((e) => [e.message, e.firstTimestamp, e.lastTimestamp, e.count]);
  assertEquals(stamps, [
    ["before the restart", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", 1],
    ["at 1 s", "2026-06-01T00:00:01Z", "2026-06-01T00:00:03Z", 2],
    ["at 3 s", "2026-06-01T00:00:03Z", "2026-06-01T00:00:03Z", 1],
  ]);
  const notes = log2.list().map((e) => e.metadata.annotations?.["skerry.dev/time-corrected"]);
  assertEquals(notes.map((note) => note?.startsWith(`by ${originMs / 1_000} s at `)), [
    undefined,
    true,
    true,
  ]);
  // what goes up is what is kept
  const sent = outbox.pending(0, 10).map((i) => i.report.kind === "event" && i.report.event);
  assertEquals(sent.slice(1), log2.list().slice(1));
  // nothing is put right twice
  await log2.timeIsKnown({ originMs: 0, correctionMs: -originMs });
  assertEquals(log2.list().map((e) => e.lastTimestamp), stamps.map(([, , last]) => last));
});
