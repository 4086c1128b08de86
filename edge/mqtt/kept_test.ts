/** Bounds and order of what is kept, without a broker. */
import { assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { Counters } from "./counters.ts";
import { RETAINED_BUCKET } from "./kept_rows.ts";
import { Received } from "./received.ts";
import { Retained, RETAINED_MAX } from "./retained.ts";
import { SessionQueues } from "./session_queues.ts";
import { GIVE_WAY_MS, SESSIONS_MAX, SessionTable } from "./session_table.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const full = () => new AppError("exhausted", "disk full");

function begin() {
  const clock = new SimClock();
  const counters = new Counters();
  const store = new MemoryStore();
  const dropped = () => counters.read({ clients: 0, waiting: 0 }).dropped;
  return { clock, counters, store, dropped };
}

Deno.test("sessions and their filters are bounded; a refusing disk grants none", async () => {
  const { store, clock } = begin();
  const table = new SessionTable({ store, clock, filtersMax: 2 });
  const who = (client: string) => ({ user: "u", client });
  const filters = ["a", "b", "c"].map((topic) => ({ topic, qos: 1 }));
  await table.add(who("one"), filters);
  const all = (from: SessionTable) => [...from.all()].map((session) => session.filters.length);
  assertEquals(all(table), [2]);
  store.failNext(full());
  await assertRejects(() => table.add(who("one"), [{ topic: "a", qos: 2 }]), AppError, "full");
  store.failNext(full());
  await assertRejects(() => table.add(who("two"), filters), AppError, "full");
  assertEquals([table.size, [...table.all()][0]?.filters[0]], [1, { topic: "a", qos: 1 }]);
  for (let i = 1; i < SESSIONS_MAX; i++) await table.add(who(`s${i}`), filters.slice(0, 1));
  assertEquals([table.hasRoom("one"), table.hasRoom("new")], [true, false]);
  await clock.advance(GIVE_WAY_MS);
  table.seen("one");
  assertEquals(table.longestAway((client) => client === "s1"), "s2");
  const again = new SessionTable({ store, clock, filtersMax: 2 });
  assertEquals(again.longestAway(() => false), undefined);
  assertEquals(all(again).length, SESSIONS_MAX);
  await again.remove("one", ["a", "b"]);
  assertEquals(again.hasRoom("new"), true);
});

Deno.test("retained messages: bounded, gathered, whatever their topics are", async () => {
  const { clock, counters, store, dropped } = begin();
  let isSparing = false;
  const options = { clock, counters, store, sparing: () => isSparing };
  const retained = new Retained(options);
  const keep = (topic: string, text: string, qos: 0 | 1 = 1) =>
    retained.keep({ topic, payload: bytes(text), qos });
  const read = (from: Retained, filter: string) =>
    [...from.matching([filter])].map(({ payload }) => new TextDecoder().decode(payload));
  assertEquals(keep("a/0", "zero", 0), undefined);
  assertEquals([store.count(RETAINED_BUCKET), read(retained, "a/+")], [0, ["zero"]]);
  await clock.advance(1_000);
  assertEquals(store.count(RETAINED_BUCKET), 1);
  for (const odd of [`${"x".repeat(1_023)}ü`, "nul\0"]) await keep(odd, "odd");
  assertEquals(read(new Retained(options), "#").length, 3);
  store.failNext(full());
  await assertRejects(async () => await keep("a/1", "one"), AppError, "full");
  isSparing = true;
  assertEquals(keep("a/0", "spared"), undefined);
  await clock.advance(60_000);
  assertEquals(read(new Retained(options), "a/0"), ["zero"]);
  isSparing = false;
  for (let i = retained.size; i < RETAINED_MAX; i++) {
    assertEquals(keep(`m/${i}`, "1", 0), undefined);
  }
  await keep("one/too/many", "1");
  assertEquals([retained.size, dropped().retained_full], [RETAINED_MAX, 1]);
  await retained.close();
  assertEquals(read(new Retained(options), "a/0"), ["spared"]);
});

Deno.test("queues are bounded in all, and what lies on disk leaves memory", async () => {
  const { clock, counters, store, dropped } = begin();
  let counter = 0;
  const open = () =>
    new SessionQueues({
      store,
      clock,
      counters,
      queuedMessages: 1_000,
      isOnline: () => false,
      nextCounter: () => ++counter,
    }, (client) => client !== "stranger");
  const queues = open();
  const put = (client: string, size: number) =>
    queues.enqueue(new Map([[client, 1 as const]]), {
      counter: ++counter,
      message: { topic: "t", payload: new Uint8Array(size), qos: 1 },
      gate: undefined,
    });
  for (let i = 0; i < 80; i++) put(`c${i}`, 256 * 1024);
  assertEquals([queues.size, dropped().session_queue_full], [63, 17]);
  put("stranger", 1);
  await queues.close();
  const again = open();
  assertEquals(again.size, 63);
  await again.close();
});

Deno.test("open packets of QoS 2 are bounded, and forgotten when they were not taken", async () => {
  const { store } = begin();
  const received = new Received(store);
  const sender = { id: "a", clean: false };
  received.add(sender, 1);
  received.add(sender, 2);
  received.forget(sender, 2);
  await received.keep(sender);
  const again = new Received(store);
  assertEquals([again.has(sender, 1), again.has(sender, 2)], [true, false]);
  for (let i = 1; i < 1_000; i++) again.add({ id: `s${i}`, clean: false }, 1);
  await assertRejects(async () => await again.add({ id: "more", clean: false }, 1), AppError);
  await again.clear("a");
  assertEquals(new Received(store).has(sender, 1), false);
});
