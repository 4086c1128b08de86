import { assert, assertEquals, assertRejects } from "@std/assert";
import { SystemClock } from "../../shared/clock.ts";
import { AppError, isAppError } from "../../shared/errors.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import type { Report } from "../../shared/wire/report.ts";
import { BULK_LANES, DurableOutbox } from "./outbox.ts";
import { DurablePodRecords } from "./pod_records.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";

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
  assertEquals(keys(outbox, status), ["c1", "s2", "e1"]);
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
  const lanes = { event: { rowsMax: 100 } };
  const outbox = new DurableOutbox({ store, clock, lanes });
  for (let i = 0; i < 105; i++) await outbox.put("event", `e${i}`, gone("1"));
  await Promise.all([1, 2, 3].map((i) => outbox.put("event", `late${i}`, gone("1"))));
  assertEquals(outbox.stats().depth, 100);
  assertEquals(outbox.stats().dropped, { event_quota: 8 });
  const again = new DurableOutbox({ store, clock, lanes });
  assertEquals(again.stats(), outbox.stats());
  assertEquals(keys(again, 0, 1), ["e8"]);
});

Deno.test("DurableOutbox replaces an event that was not sent yet, and no other", async () => {
  const outbox = new DurableOutbox({ store: new MemoryStore(), clock });
  await outbox.put("event", "e", gone("1"));
  await outbox.put("event", "e", gone("2"));
  assertEquals(outbox.pending(0, 10).map((i) => i.report), [gone("2")]);
  await outbox.put("event", "e", gone("3"));
  assertEquals(outbox.pending(0, 10).map((i) => i.report), [gone("2"), gone("3")]);
});

Deno.test("DurableOutbox sends events an earlier version left in present state", async () => {
  const store = new MemoryStore();
  const row = { sequence: 7, lane: "event", atMs: 5, report: gone("old") };
  await store.commit([
    { op: "put", bucket: "outbox/v1", key: "e", value: row },
    {
      op: "put",
      bucket: "outbox_head/v1",
      key: "head",
      value: { reserved: 9, dropped: { event_quota: 3 } },
    },
  ]);
  const outbox = new DurableOutbox({ store, clock });
  assertEquals(outbox.pending(0, 10).map((i) => [i.sequence, i.report]), [[7, gone("old")]]);
  assertEquals(outbox.stats().dropped, { event_quota: 3 });
  await outbox.acknowledge([7]);
  assertEquals(outbox.stats().depth, 0);
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

/** Sends as the link does: what is pending and not in flight, within a window of 512. */
class Sender {
  readonly inFlight = new Set<number>();
  readonly sentKeys: string[] = [];
  readonly #outbox: DurableOutbox;

  constructor(outbox: DurableOutbox) {
    this.#outbox = outbox;
  }

  send(): number {
    const room = Math.min(64, 512 - this.inFlight.size);
    const items = this.#outbox.pending(0, this.inFlight.size + room)
      .filter((item) => !this.inFlight.has(item.sequence)).slice(0, room);
    for (const { sequence, key } of items) {
      this.inFlight.add(sequence);
      this.sentKeys.push(key);
    }
    return items.length;
  }

  async acknowledgeAll(): Promise<void> {
    await this.#outbox.acknowledge([...this.inFlight]);
    this.inFlight.clear();
  }
}

const records = (count: number, prefix: string) =>
  Array.from({ length: count }, (_, i) => ({ key: `${prefix}${i}`, report: gone(`${i}`) }));

Deno.test("a backlog leaves room on the link for what is live", async () => {
  const time = new SimClock();
  const outbox = new DurableOutbox({ store: new MemoryStore({ clock: time }), clock: time });
  await outbox.append("telemetry", records(2_000, "old"));
  await outbox.append("event", records(500, "oldevent"));
  await time.advance(10_000);
  const sender = new Sender(outbox);
  while (sender.send() > 0);
  const { telemetry, event } = BULK_LANES;
  assertEquals(sender.inFlight.size, 512 * (telemetry.replayShare + event.replayShare));
  // nothing is acknowledged yet, and what is new goes out at once, most urgent first
  await outbox.append("telemetry", records(20, "live"));
  await outbox.put("status", "s", gone("s"));
  await outbox.put("control", "c", gone("c"));
  const before = sender.sentKeys.length;
  while (sender.send() > 0);
  const fresh = sender.sentKeys.slice(before);
  assertEquals(fresh.slice(0, 2), ["c", "s"]);
  assertEquals(fresh.filter((key) => key.startsWith("live")).length, 20);
  assertEquals(fresh.length, 22);
});

Deno.test("lanes share what the cloud grants, and new senders get all that waits", async () => {
  const time = new SimClock();
  const outbox = new DurableOutbox({ store: new MemoryStore({ clock: time }), clock: time });
  await outbox.append("telemetry", records(4_000, "old"));
  await time.advance(10_000);
  // nine sixteenths; what went in under a larger grant stays until it is acknowledged
  for (const [grant, expected] of [[64, 36], [4_096, 2_304], [64, 2_304]] as const) {
    outbox.grant(grant);
    const sent = new Set<number>();
    const skip = (sequence: number) => sent.has(sequence);
    for (;;) {
      const items = outbox.pending(0, 100, skip);
      if (items.length === 0) break;
      for (const { sequence } of items) assert(!sent.has(sequence), "sent once a session");
      for (const { sequence } of items) sent.add(sequence);
    }
    assertEquals(sent.size, expected);
  }
});

Deno.test("a lane has no more bytes on their way than it may, but one record always", async () => {
  const time = new SimClock();
  const lanes = { telemetry: { windowBytesMax: 3_000 } };
  const outbox = new DurableOutbox({ store: new MemoryStore({ clock: time }), clock: time, lanes });
  await outbox.append("telemetry", records(100, "small"));
  await outbox.append("telemetry", [{ key: "large", report: gone("x".repeat(9_000)) }]);
  await time.advance(10_000);
  let sent = 0;
  for (let largest = 0; outbox.stats().depth > 0;) {
    const items = outbox.pending(0, 1_000);
    const bytes = items.reduce((sum, { body }) => sum + (body?.byteLength ?? 0), 0);
    largest = Math.max(largest, items.length);
    assert(bytes <= 3_000 || items.length === 1, `${items.length} with ${bytes} bytes`);
    assert(largest > 10);
    await outbox.acknowledge(items.map((item) => item.sequence));
    sent += items.length;
  }
  assertEquals(sent, 101);
});

Deno.test("a backlog is replayed at its pace, oldest first, and each record once", async () => {
  const time = new SimClock();
  const lanes = { telemetry: { pace: { perSecond: 1_000, burst: 100 } } };
  const outbox = new DurableOutbox({ store: new MemoryStore({ clock: time }), clock: time, lanes });
  await outbox.append("telemetry", records(3_000, "t"));
  await time.advance(10_000);
  const stop = new AbortController();
  const running = outbox.run(stop.signal).catch(() => {}); // ends with the abort below
  const sender = new Sender(outbox);
  const startMs = time.monotonicMs();
  let woken = true;
  outbox.changes.subscribe(() => woken = true);
  while (outbox.stats().depth > 0) {
    while (sender.send() > 0);
    await sender.acknowledgeAll();
    woken = false;
    await time.until(() => woken || outbox.stats().depth === 0, { what: "more is due" });
  }
  const tookMs = time.monotonicMs() - startMs;
  assert(tookMs >= 2_900 && tookMs <= 3_200, `${tookMs}`);
  assertEquals(
    sender.sentKeys.map((key) => key.split("@")[0]),
    records(3_000, "t").map((r) => r.key),
  );
  assertEquals(new Set(sender.sentKeys).size, 3_000);
  stop.abort();
  await running;
});

Deno.test("records expire by operating time, whatever the wall clock says", async () => {
  const time = new SimClock();
  const store = new MemoryStore({ clock: time });
  const lanes = { telemetry: { ttlMs: 60_000, windowShare: 1 / 512, replayShare: 1 / 512 } };
  const outbox = new DurableOutbox({ store, clock: time, lanes });
  await outbox.append("telemetry", records(10, "t"));
  time.jumpWall(10 * 365 * 24 * 3_600_000);
  store.bulk.expire();
  assertEquals(outbox.stats().lanes.telemetry, 10);
  assertEquals(outbox.pending(0, 10).length, 1);
  await time.advance(61_000);
  store.bulk.expire();
  // one is on its way and stays
  assertEquals(outbox.stats().lanes.telemetry, 1);
  assertEquals(outbox.stats().dropped, { telemetry_expired: 9 });
  await outbox.acknowledge(outbox.pending(0, 10).map((item) => item.sequence));
  assertEquals(outbox.stats().depth, 0);
});

Deno.test("after a loss no sequence is used again, whoever is killed before a put", async () => {
  const store = new MemoryStore();
  const options = { store, clock };
  const before = await new DurableOutbox(options).put("status", "a", gone("a"));
  store.recovery.damage.push({ what: "flipped", file: "journal" });
  await store.commit([new DurableOutbox(options).skipLost()]); // and killed
  store.recovery.damage.pop();
  const after = await new DurableOutbox(options).put("status", "b", gone("b"));
  assert(after - before > 500_000, `${before}, then ${after}`);
});
