import { assert, assertEquals, assertThrows } from "@std/assert";
import { loadSqlite } from "./sqlite_wasm.ts";
import { PAGE_BYTES, SqliteState } from "./state.ts";
import type { RawOp } from "./ops.ts";

const put = (key: string, bytes: number): RawOp => [0, "b", key, new Uint8Array(bytes).fill(7)];

/** Rows by key with the size of their values. */
function rows(state: SqliteState): Record<string, number> {
  return Object.fromEntries(state.list("b", {}).map(({ key, value }) => [key, value.length]));
}

Deno.test("a copy in slices holds what changed meanwhile, before and behind it", async () => {
  const sqlite = await loadSqlite();
  const state = SqliteState.open(sqlite);
  const keys = Array.from({ length: 200 }, (_, i) => `k${String(i).padStart(3, "0")}`);
  state.apply([keys.map((key) => put(key, 2_000))]);
  const copy = state.beginCopy();
  let slices = 0;
  while (copy.copySome(PAGE_BYTES)) {
    const i = slices++ % keys.length;
    state.apply([[put(keys[i]!, 100 + i), [1, "b", keys.at(-1 - i)!], put(`new${i}`, 900)]]);
  }
  assert(slices > 10, `slices: ${slices}`);
  const bytes = copy.finish(42);
  assertEquals(bytes.length % PAGE_BYTES, 0);
  const again = SqliteState.open(sqlite, bytes.slice());
  assertEquals(rows(again), rows(state));
  again.close();
  assertThrows(() => copy.finish(43));
  state.close();
});

Deno.test("a copy is made in room of its own, without another copy at its end", async () => {
  const sqlite = await loadSqlite();
  const state = SqliteState.open(sqlite);
  state.apply([[put("a", 10)]]);
  const bytes = state.beginCopy().finish(1);
  // exported bytes would fill their buffer; these lie in room that was made before
  assert(bytes.buffer.byteLength > bytes.length, "sql.js took the room it was given");
  state.close();
});

Deno.test("a state that outgrows the room of its copy is copied all the same", async () => {
  const sqlite = await loadSqlite();
  const state = SqliteState.open(sqlite);
  state.apply([[put("a", 40_000), put("b", 40_000)]]);
  const copy = state.beginCopy();
  copy.copySome(PAGE_BYTES);
  for (let i = 0; i < 4; i++) state.apply([[put(`big${i}`, 1_000_000)]]);
  const again = SqliteState.open(sqlite, copy.finish(9));
  assertEquals(rows(again), rows(state));
  again.close();
  state.close();
});

Deno.test("a copy that is abandoned, or whose state is closed, leaves nothing behind", async () => {
  const sqlite = await loadSqlite();
  const state = SqliteState.open(sqlite);
  state.apply([[put("a", 40_000)]]);
  const first = state.beginCopy();
  const second = state.beginCopy();
  assertThrows(() => first.copySome(PAGE_BYTES));
  second.copySome(PAGE_BYTES);
  state.close();
  assertThrows(() => second.finish(1));
});

Deno.test("free pages are given back some at a time", async () => {
  const state = SqliteState.open(await loadSqlite());
  const keys = Array.from({ length: 300 }, (_, i) => `k${i}`);
  state.apply([keys.map((key) => put(key, 20_000))]);
  state.apply([keys.slice(10).map((key): RawOp => [1, "b", key])]);
  let steps = 1;
  while (state.compactSome()) steps++;
  assert(steps > 1, "in several steps");
  assertEquals(Object.keys(rows(state)).length, 10);
  assert(state.beginCopy().finish(1).length < 2_000_000);
  state.close();
});
