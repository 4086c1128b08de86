import { assert, assertEquals } from "@std/assert";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import type { StoreOp } from "../../shared/store/port.ts";
import { fc } from "../../shared/testing/property.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { TwinHistory } from "./history.ts";
import { PART_ROWS } from "./history_index.ts";
import { type HistoryRow, streamOf } from "./history_rows.ts";
import { decodeIndex, encodeIndex } from "./index_rows.ts";

const KEYS = ["plant/a", "plant/b", "plant/c"];
/** All in the stream of the first, as if their hashes were so. */
const STREAM = streamOf("plant/a");

async function world(): Promise<{ store: MemoryStore; clock: SimClock; history: TwinHistory }> {
  const clock = new SimClock();
  const store = new MemoryStore({ clock });
  const history = new TwinHistory({ store, clock });
  await clock.advance(1);
  return { store, clock, history };
}

function record(key: string, value: number, atMs: number): StoreOp {
  const rows: HistoryRow[] = [[0, "count", String(value), value]];
  return { op: "append", stream: STREAM, key, value: rows, atMs };
}

/** One record of "a" among so many of another. */
async function fill(store: MemoryStore, count: number, every: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await store.commit([record(i % every === 0 ? "plant/a" : "plant/z", i, i * 1_000)]);
  }
}

async function values(history: TwinHistory, question = {}): Promise<number[]> {
  const { points } = await history.ask("plant/a", question);
  return points.map((point) => point.kind === "step" ? point.count : Number(point.value));
}

Deno.test("the places of any records are found again by device", () => {
  const gap = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 2 ** 28 }));
  const records = fc.array(fc.tuple(fc.constantFrom(...KEYS), gap, fc.boolean(), fc.nat()), {
    minLength: 1,
  });
  fc.assert(fc.property(fc.nat(), records, (first, list) => {
    let id = first * 4096;
    const all = list.map(([key, ahead, whole, atMs]) => ({
      id: id += whole ? ahead * 4096 : ahead,
      key,
      atMs,
    })).filter((each) => Number.isSafeInteger(each.id));
    if (all.length === 0) return;
    const part = decodeIndex(encodeIndex(all));
    for (const key of [...KEYS, "plant/none"]) {
      const own = all.filter((each) => each.key === key).map((each) => each.id);
      assertEquals(part?.of(key), own);
    }
    assertEquals(part?.minAtMs, Math.min(...all.map(({ atMs }) => atMs)));
    assertEquals([part?.from, part?.to, part?.rows], [all[0]?.id, all.at(-1)?.id, all.length]);
  }));
});

Deno.test("what is no index of ours is none", () => {
  for (const row of [undefined, null, 7, [], [2, 0, 0], { 0: 1 }]) {
    assertEquals(decodeIndex(row), undefined);
  }
});

Deno.test("history is the same with an index, behind it and without", async () => {
  const { store, clock, history } = await world();
  await fill(store, 2 * PART_ROWS + 500, 50);
  const wanted = Array.from({ length: Math.ceil((2 * PART_ROWS + 500) / 50) }, (_, i) => i * 50);
  assertEquals(await values(history), wanted); // and this look finds that an index is due
  await history.settled();
  assertEquals(store.bulk.stats(STREAM.replace("history", "index")).rows, 2);
  assertEquals(await values(history), wanted);
  const span = { fromMs: 1_500_000, toMs: 3_000_000 };
  assertEquals(await values(history, span), wanted.filter((i) => i >= 1_500 && i < 3_000));
  assertEquals(await values(new TwinHistory({ store, clock })), wanted);
  const [first] = (await history.ask("plant/a", { limit: 1 })).points;
  assert(first?.kind === "reported");
  const { next = -1 } = await history.ask("plant/a", { limit: 30 });
  assertEquals(await values(history, { after: next }), wanted.slice(30));
});

Deno.test("a look at an indexed history reads little else than its device", async () => {
  const { store, history } = await world();
  await fill(store, 4 * PART_ROWS, 100);
  for (let i = 0; i < PART_ROWS; i++) history.added("plant/a");
  await history.settled();
  let read = 0;
  const { read: original } = store.bulk;
  store.bulk.read = function <T>(...args: Parameters<typeof original>) {
    const found = original.call(this, ...args) as ReturnType<typeof original<T>>; // as asked
    read += found.length;
    return found;
  };
  assertEquals((await values(history)).length, Math.ceil(4 * PART_ROWS / 100));
  assert(read < 150, `${read} records read`);
  read = 0;
  assertEquals((await values(history, { fromMs: 8_000_000 })).length, 2);
  assert(read < 50, `${read} records read`);
});

Deno.test("records whose index went are found all the same", async () => {
  const { store, history } = await world();
  await fill(store, 3 * PART_ROWS, 64);
  for (let i = 0; i < PART_ROWS; i++) history.added("plant/a");
  await history.settled();
  const index = STREAM.replace("history", "index");
  const parts = store.bulk.read(index, { limit: 9 });
  await store.commit([{ op: "remove", stream: index, ids: [parts[0]!.id] }]);
  assertEquals((await values(history)).length, 3 * PART_ROWS / 64);
});
