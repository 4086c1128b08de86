import { assert, assertEquals, assertRejects } from "@std/assert";
import { SystemClock } from "../../shared/clock.ts";
import { AppError, isAppError } from "../../shared/errors.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import type { Report } from "../../shared/wire/report.ts";
import { DurableOutbox, OUTBOX_ITEMS_MAX } from "./outbox.ts";
import { DurablePodRecords } from "./pod_records.ts";

const clock = new SystemClock();
const pod = (name: string) => ({ namespace: "d", name, uid: `u-${name}` });
const gone = (name: string): Report => ({ kind: "pod_gone", pod: pod(name) });
const keys = (outbox: DurableOutbox, after = 0, limit = 100) =>
  outbox.pending(after, limit).map((item) => item.key);

Deno.test("DurableOutbox drains lanes in order, oldest first, above a sequence", async () => {
  const outbox = new DurableOutbox({ store: new MemoryStore(), clock });
  await outbox.put("event", "e1", gone("1"));
  const status = await outbox.put("status", "s1", gone("2"));
  await outbox.put("control", "c1", gone("3"));
  await outbox.put("status", "s2", gone("4"));
  assertEquals(keys(outbox), ["c1", "s1", "s2", "e1"]);
  assertEquals(keys(outbox, status), ["c1", "s2"]);
  assertEquals(keys(outbox, 0, 2), ["c1", "s1"]);
  assertEquals(outbox.pending(0, 1)[0]?.report, gone("3"));
  assertEquals(outbox.stats().depth, 4);
});

Deno.test("DurableOutbox keeps the latest per key and forgets only what was named", async () => {
  const outbox = new DurableOutbox({ store: new MemoryStore(), clock });
  const first = await outbox.put("status", "k", gone("1"));
  const second = await outbox.put("status", "k", gone("2"));
  assert(second > first);
  assertEquals(outbox.pending(0, 10).map((i) => i.report), [gone("2")]);
  await outbox.acknowledge([first, 999]);
  assertEquals(keys(outbox), ["k"]);
  await outbox.acknowledge([second]);
  assertEquals([keys(outbox), outbox.stats().depth], [[], 0]);
});

Deno.test("DurableOutbox keeps a replacement on its way when its elder is acked", async () => {
  const store = new MemoryStore();
  const outbox = new DurableOutbox({ store, clock });
  const first = await outbox.put("status", "k", gone("1"));
  await Promise.all([outbox.put("status", "k", gone("2")), outbox.acknowledge([first])]);
  assertEquals(outbox.pending(0, 10).map((i) => i.report), [gone("2")]);
  const [item] = outbox.pending(0, 10);
  await Promise.all([outbox.acknowledge([item!.sequence]), outbox.put("control", "k", gone("3"))]);
  assertEquals(outbox.pending(0, 10).map((i) => [i.lane, i.report]), [["control", gone("3")]]);
  assertEquals(keys(new DurableOutbox({ store, clock })), ["k"]);
});

Deno.test("DurableOutbox never uses a sequence twice, also after a restart", async () => {
  const store = new MemoryStore();
  let highest = 0;
  for (let round = 0; round < 3; round++) {
    const outbox = new DurableOutbox({ store, clock });
    for (let i = 0; i < 3; i++) {
      const sequence = await outbox.put("status", `k${i}`, gone("1"));
      assert(sequence > highest);
      highest = sequence;
    }
    await outbox.acknowledge(outbox.pending(0, 10).map((i) => i.sequence));
  }
});

Deno.test("DurableOutbox shows nothing of a put that failed", async () => {
  const store = new MemoryStore();
  const outbox = new DurableOutbox({ store, clock });
  await outbox.put("status", "k", gone("1"));
  store.failNext(new AppError("exhausted", "disk is full"));
  await assertRejects(() => outbox.put("status", "k", gone("2")), AppError, "full");
  assertEquals(outbox.pending(0, 10).map((i) => i.report), [gone("1")]);
});

Deno.test("DurableOutbox drops the oldest events beyond the quota and counts them", async () => {
  const store = new MemoryStore();
  const outbox = new DurableOutbox({ store, clock });
  const count = OUTBOX_ITEMS_MAX.event + 5;
  for (let i = 0; i < count; i++) await outbox.put("event", `e${i}`, gone("1"));
  await Promise.all([1, 2, 3].map((i) => outbox.put("event", `late${i}`, gone("1"))));
  assertEquals(outbox.stats().depth, OUTBOX_ITEMS_MAX.event);
  assertEquals(outbox.stats().dropped, { event_quota: 8 });
  assertEquals(keys(outbox, 0, 1), ["e8"]);
  const again = new DurableOutbox({ store, clock });
  assertEquals(again.stats(), outbox.stats());
});

Deno.test("DurablePodRecords keeps status and report together", async () => {
  const store = new MemoryStore();
  const outbox = new DurableOutbox({ store, clock });
  const records = new DurablePodRecords({ store, outbox });
  await records.recordStatus(pod("a"), { phase: "Pending" });
  await records.recordStatus(pod("a"), { phase: "Running" });
  await records.recordStatus(pod("b"), { phase: "Running" });
  assertEquals(records.get("u-a")?.status.phase, "Running");
  assertEquals(records.list().map((r) => r.pod.name), ["a", "b"]);
  assertEquals(outbox.stats().depth, 2);
  await records.recordGone(pod("a"));
  assertEquals(records.get("u-a"), undefined);
  assertEquals(outbox.pending(0, 10).map((i) => [i.lane, i.report.kind]), [
    ["control", "pod_gone"],
    ["status", "pod_status"],
  ]);
  store.failNext(new AppError("unavailable", "disk failed"));
  const error = await assertRejects(() => records.recordStatus(pod("b"), { phase: "Failed" }));
  assert(isAppError(error, "unavailable"));
  assertEquals(records.get("u-b")?.status.phase, "Running");
});
