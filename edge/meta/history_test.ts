import { assertEquals } from "@std/assert";
import { Changes } from "../../shared/async/wakeup.ts";
import { AppError } from "../../shared/errors.ts";
import { SeededRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { DurableEventLog } from "./event_log.ts";
import { DurableHistory, recordLink } from "./history.ts";
import { DurableOutbox } from "./outbox.ts";
import { DurablePodRecords } from "./pod_records.ts";
import type { HistoryEntry } from "./port.ts";

const status = (pod: string, what: string): HistoryEntry => ({
  kind: "pod_status",
  subject: `pods/d/${pod}`,
  what,
});

Deno.test("DurableHistory is read by time, kind and subject, page by page", async () => {
  const clock = new SimClock();
  const store = new MemoryStore({ clock });
  const history = new DurableHistory({ store, clock });
  const startMs = clock.nowMs();
  for (let i = 0; i < 10; i++) {
    await history.record(status(`p${i % 2}`, `step ${i}`));
    await clock.advance(1_000);
  }
  await history.record({ kind: "link", subject: "cloud", what: "live" });
  const whats = (query: Parameters<typeof history.query>[0]) =>
    history.query(query).map((row) => row.what);
  const range = { fromMs: startMs + 2_000, toMs: startMs + 5_000 };
  assertEquals(whats(range), ["step 2", "step 3", "step 4"]);
  assertEquals(whats({ ...range, subject: "pods/d/p0" }), ["step 2", "step 4"]);
  assertEquals(whats({ kind: "link" }), ["live"]);
  const [first, second] = history.query({ limit: 2 });
  assertEquals([first?.what, second?.atMs], ["step 0", startMs + 1_000]);
  assertEquals(whats({ after: second!.id, limit: 1 }), ["step 2"]);
});

Deno.test("DurableHistory is coarser while the disk is spared, and counts the rest", async () => {
  const clock = new SimClock();
  let sparing = true;
  const store = new MemoryStore({ clock });
  const history = new DurableHistory({ store, clock, sparing: () => sparing });
  for (let i = 0; i < 25; i++) {
    await history.record(status("a", `step ${i}`));
    await history.record({ kind: "link", subject: "cloud", what: `state ${i}` });
    await clock.advance(60_000);
  }
  const rows = history.query({ kind: "pod_status" }).map((row) => row.what);
  assertEquals(rows, ["step 0", "step 10", "step 20"]);
  assertEquals(history.query({ kind: "link" }).length, 25);
  assertEquals(history.stats().dropped, { spared: 22 });
  sparing = false;
  await history.record(status("a", "well"));
  assertEquals(history.query({ subject: "pods/d/a" }).at(-1)?.what, "well");
});

Deno.test("DurableHistory is bounded, and a full disk stops nothing", async () => {
  const clock = new SimClock();
  const store = new MemoryStore({ clock });
  const limits = { ttlMs: 60_000, rowsMax: 5, bytesMax: 1e6 };
  const history = new DurableHistory({ store, clock, limits });
  for (let i = 0; i < 8; i++) await history.record(status("p", `${i}`));
  store.failNext(new AppError("exhausted", "disk is full"));
  await history.record(status("p", "refused"));
  assertEquals(history.stats().dropped, { quota: 3, refused: 1 });
  await clock.advance(61_000);
  store.bulk.expire();
  assertEquals([history.query({}), history.stats().dropped.expired], [[], 5]);
});

Deno.test("recordLink() keeps the ups and downs, not each attempt", async () => {
  const clock = new SimClock();
  const history = new DurableHistory({ store: new MemoryStore(), clock });
  const changes = new Changes();
  let state = "idle";
  const stop = recordLink(history, { changes, status: () => ({ state, lastError: "cut" }) });
  for (state of ["dialing", "live", "backoff", "dialing", "backoff", "live"]) changes.notify();
  stop();
  await clock.settle();
  assertEquals(history.query({}).map((row) => row.what), ["live", "backoff", "live"]);
});

Deno.test("pods and events leave their history, what only repeats does not", async () => {
  const clock = new SimClock();
  const store = new MemoryStore({ clock });
  const history = new DurableHistory({ store, clock });
  const outbox = new DurableOutbox({ store, clock });
  const records = new DurablePodRecords({ store, outbox, history });
  const random = new SeededRandom(1);
  const events = new DurableEventLog({ store, outbox, clock, random, nodeName: "n1", history });
  const pod = { namespace: "d", name: "p", uid: "u" };
  await records.recordStatus(pod, { phase: "Pending" });
  await records.recordStatus(pod, { phase: "Running" });
  await records.recordStatus(pod, { phase: "Running", message: "again" });
  const involvedObject = { kind: "Pod", namespace: "d", name: "p", uid: "u" };
  for (let i = 0; i < 2; i++) {
    await events.record({ involvedObject, type: "Normal", reason: "Pulled", message: "image" });
  }
  await records.recordGone(pod);
  const rows = history.query({ subject: "pods/d/p" });
  assertEquals(rows.map((row) => [row.kind, row.what]), [
    ["pod_status", "Pending"],
    ["pod_status", "Running"],
    ["event", "Pulled"],
    ["pod_gone", "Gone"],
  ]);
});
