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
    history.query(query).rows.map((row) => row.what);
  const range = { fromMs: startMs + 2_000, toMs: startMs + 5_000 };
  assertEquals(whats(range), ["step 2", "step 3", "step 4"]);
  assertEquals(whats({ ...range, subject: "pods/d/p0" }), ["step 2", "step 4"]);
  assertEquals(whats({ kind: "link" }), ["live"]);
  const [first, second] = history.query({ limit: 2 }).rows;
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
  const rows = history.query({ kind: "pod_status" }).rows.map((row) => row.what);
  assertEquals(rows, ["step 0", "step 10", "step 20"]);
  assertEquals(history.query({ kind: "link" }).rows.length, 25);
  assertEquals(history.stats().dropped, { spared: 22 });
  sparing = false;
  await history.record(status("a", "well"));
  assertEquals(history.query({ subject: "pods/d/a" }).rows.at(-1)?.what, "well");
});

Deno.test("DurableHistory puts stamps right once the time is known", async () => {
  const clock = new SimClock();
  const store = new MemoryStore({ clock });
  const history = new DurableHistory({ store, clock });
  const yearsMs = 10 * 365 * 86_400_000;
  const rightMs = clock.nowMs();
  clock.jumpWall(-yearsMs);
  await history.record(status("a", "early"));
  await clock.advance(60_000);
  await history.record(status("a", "later"));
  await clock.advance(60_000);
  clock.jumpWall(yearsMs);
  await history.time.timeIsKnown(yearsMs);
  await history.record(status("a", "after"));
  const again = new DurableHistory({ store, clock });
  const { rows } = again.query({ fromMs: rightMs });
  assertEquals(rows.map(({ what, atMs, recordedAtMs }) => [what, atMs, recordedAtMs]), [
    ["early", rightMs, rightMs - yearsMs],
    ["later", rightMs + 60_000, rightMs - yearsMs + 60_000],
    ["after", rightMs + 120_000, undefined],
  ]);
  const some = again.query({ fromMs: rightMs + 1, toMs: rightMs + 120_000 }).rows;
  assertEquals(some.map((row) => row.what), ["later"]);
});

Deno.test("DurableHistory looks at so many rows at a time, and says where to go on", async () => {
  const clock = new SimClock();
  const history = new DurableHistory({ store: new MemoryStore({ clock }), clock });
  for (let i = 0; i < 7; i++) await history.record(status(`p${i}`, "x"));
  const subjects: string[] = [];
  let pages = 0;
  for (let after: number | undefined = -1; after !== undefined; pages++) {
    const page = history.query({ after, limit: 3 });
    subjects.push(...page.rows.map((row) => row.subject));
    after = page.next;
  }
  assertEquals([subjects.length, new Set(subjects).size, pages], [7, 7, 3]);
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
  assertEquals([history.query({}).rows, history.stats().dropped.expired], [[], 5]);
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
  assertEquals(history.query({}).rows.map((row) => row.what), ["live", "backoff", "live"]);
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
  const { rows } = history.query({ subject: "pods/d/p" });
  assertEquals(rows.map((row) => [row.kind, row.what]), [
    ["pod_status", "Pending"],
    ["pod_status", "Running"],
    ["event", "Pulled"],
    ["pod_gone", "Gone"],
  ]);
});
