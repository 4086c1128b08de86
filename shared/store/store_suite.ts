/**
 * What every Store must do, whatever is under it. Run it as
 * `storeSuite("memory", () => Promise.resolve(new MemoryStore()))`.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { AppError, isAppError } from "../errors.ts";
import { recordId, type Store, type StoreOp } from "./port.ts";
import { decodeCbor } from "./value_codec.ts";

export interface StoreUnderTest {
  store: Store;
  dispose(): Promise<void>;
}

type Opener = () => Promise<StoreUnderTest>;

const put = (key: string, value: unknown, bucket = "b"): StoreOp => ({
  op: "put",
  bucket,
  key,
  value,
});
const del = (key: string, bucket = "b"): StoreOp => ({ op: "delete", bucket, key });

export function storeSuite(name: string, open: Opener): void {
  const test = (behaviour: string, body: (store: Store) => Promise<void>) =>
    Deno.test(`${name} store ${behaviour}`, async () => {
      const { store, dispose } = await open();
      try {
        await body(store);
      } finally {
        await store.close();
        await dispose();
      }
    });
  readsAndWrites(test);
  ordersAndAtomicity(test);
  bounds(test);
  streams(test);
}

type Test = (behaviour: string, body: (store: Store) => Promise<void>) => void;

function readsAndWrites(test: Test): void {
  test("is empty at first", (store) => {
    assertEquals(store.lastSequence, 0);
    assertEquals(store.get("b", "k"), undefined);
    assertEquals(store.list("b"), []);
    assertEquals(store.count("b"), 0);
    return Promise.resolve();
  });
  test("gives back what was put, replaced and deleted", async (store) => {
    await store.commit([put("k", { n: 1 }), put("k", { n: 1 }, "other")]);
    await store.commit([put("k", { n: 2 })]);
    assertEquals(store.get("b", "k"), { n: 2 });
    assertEquals(store.get("other", "k"), { n: 1 });
    await store.commit([del("k"), del("never there")]);
    assertEquals(store.get("b", "k"), undefined);
    assertEquals(store.count("other"), 1);
  });
  test("keeps every kind of value", async (store) => {
    const values: unknown[] = [
      null,
      undefined,
      true,
      0,
      -1,
      1.5,
      Number.MAX_SAFE_INTEGER,
      "",
      "é😀\0",
      [],
      {},
      2n ** 63n,
      -(2n ** 90n),
      new Uint8Array([0, 255, 0]),
      { a: { b: [{ c: null, d: undefined }] }, "": 1, "with space": [undefined, 2] },
    ];
    await store.commit(values.map((value, i) => put(`k${i}`, value)));
    for (const [i, value] of values.entries()) assertEquals(store.get("b", `k${i}`), value);
    assertEquals(store.count("b"), values.length);
  });
  test("hands out copies and keeps its own", async (store) => {
    const value = { list: [1] };
    const done = store.commit([put("k", value)]);
    value.list.push(2);
    await done;
    const read = store.get<typeof value>("b", "k");
    read?.list.push(3);
    assertEquals(store.get("b", "k"), { list: [1] });
    assert(store.get("b", "k") !== read, "each read is a new object");
  });
  test("lists by prefix, after a key and up to a limit, in code point order", async (store) => {
    const keys = ["b", "a/1", "a/2", "a", "a0", "\u{ff5e}", "\u{1f600}", "a/10"];
    await store.commit(keys.map((key) => put(key, key)));
    const list = (options?: Parameters<Store["list"]>[1]) =>
      store.list("b", options).map((row) => row.key);
    assertEquals(list(), ["a", "a/1", "a/10", "a/2", "a0", "b", "\u{ff5e}", "\u{1f600}"]);
    assertEquals(list({ prefix: "a/" }), ["a/1", "a/10", "a/2"]);
    assertEquals(list({ prefix: "a/", after: "a/1" }), ["a/10", "a/2"]);
    assertEquals(list({ prefix: "a/", after: "a" }), ["a/1", "a/10", "a/2"]);
    assertEquals(list({ prefix: "a/", after: "z" }), []);
    assertEquals(list({ after: "a/2", limit: 2 }), ["a0", "b"]);
    assertEquals(list({ limit: 0 }), []);
    assertEquals(list({ prefix: "none" }), []);
  });
}

function ordersAndAtomicity(test: Test): void {
  test("resolves commits in the order they were called, with rising sequences", async (store) => {
    const order: number[] = [];
    const sequences = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const sequence = await store.commit([put(`k${i % 7}`, i)]);
        order.push(i);
        return sequence;
      }),
    );
    assertEquals(order, Array.from({ length: 50 }, (_, i) => i));
    assert(sequences.every((s, i) => i === 0 || s > sequences[i - 1]!), "sequences rise");
    assertEquals(store.lastSequence, sequences.at(-1));
    assertEquals(store.get("b", "k0"), 49);
  });
  test("shows nothing of a commit before it resolves", async (store) => {
    const done = store.commit([put("x", 1), put("y", 1)]);
    assertEquals(store.get("b", "x"), undefined);
    await done;
    assertEquals([store.get("b", "x"), store.get("b", "y")], [1, 1]);
  });
  test("applies the writes of one commit in order", async (store) => {
    await store.commit([put("k", 1), del("k"), put("k", 2), put("gone", 1), del("gone")]);
    assertEquals(store.list("b"), [{ key: "k", value: 2 }]);
  });
  test("goes on after a snapshot, also while commits wait", async (store) => {
    await store.commit([put("a", 1)]);
    const waiting = [store.commit([put("b", 2)]), store.snapshot(), store.commit([put("c", 3)])];
    await Promise.all(waiting);
    await store.snapshot();
    await store.commit([put("d", 4)]);
    assertEquals(store.list("b").map((row) => row.value), [1, 2, 3, 4]);
  });
  test("finishes waiting commits when it is closed, and refuses later ones", async (store) => {
    const waiting = store.commit([put("k", 1)]);
    await store.close();
    assertEquals(await waiting, 1);
    const error = await assertRejects(() => store.commit([put("k", 2)]), AppError);
    assert(isAppError(error, "unavailable"), error.message);
  });
}

function bounds(test: Test): void {
  const refuses = async (store: Store, ops: StoreOp[]) => {
    const error = await assertRejects(() => store.commit(ops), AppError);
    assert(isAppError(error, "invalid"), error.message);
    assertEquals(store.count("b"), 0);
  };
  test("refuses a value that is too large, whole commit", async (store) => {
    await refuses(store, [put("small", 1), put("k", new Uint8Array(3 * 1024 * 1024))]);
  });
  test("refuses a commit that is too large", async (store) => {
    const value = new Uint8Array(2 * 1024 * 1000);
    await refuses(store, Array.from({ length: 8 }, (_, i) => put(`k${i}`, value)));
  });
  test("refuses names that cannot be kept", async (store) => {
    for (const key of ["", "a\0b", "\ud800", "x".repeat(1025), "é".repeat(513)]) {
      await refuses(store, [put(key, 1)]);
    }
    await refuses(store, [put("k", 1, "")]);
    await store.commit([put("x".repeat(1024), 1)]);
    assertEquals(store.count("b"), 1);
  });
}

const append = (n: number, stream = "s"): StoreOp => ({
  op: "append",
  stream,
  key: `k${n}`,
  value: { n, filler: "x".repeat(50) },
  atMs: 1_000 + n,
});

function streams(test: Test): void {
  const numbers = (store: Store, range: Partial<Parameters<Store["bulk"]["read"]>[1]> = {}) =>
    store.bulk.read<{ n: number }>("s", { limit: 100, ...range }).map((row) => row.value.n);
  const fill = async (store: Store, count: number) => {
    const ids: number[] = [];
    for (let n = 0; n < count; n += 2) {
      const sequence = await store.commit([append(n), append(n, "other"), append(n + 1)]);
      ids.push(recordId(sequence, 0), recordId(sequence, 2));
    }
    return ids;
  };
  test("reads streams by id and by time, both ways", async (store) => {
    assertEquals([store.bulk.read("s", { limit: 9 }), store.bulk.stats("s").rows], [[], 0]);
    const ids = await fill(store, 40);
    assertEquals(numbers(store), Array.from({ length: 40 }, (_, n) => n));
    assertEquals(numbers(store, { after: ids[36]! }), [37, 38, 39]);
    assertEquals(numbers(store, { after: ids[4]!, limit: 2 }), [5, 6]);
    assertEquals(numbers(store, { fromMs: 1_010, toMs: 1_013 }), [10, 11, 12]);
    assertEquals(numbers(store, { newestFirst: true, limit: 3 }), [39, 38, 37]);
    assertEquals(numbers(store, { newestFirst: true, fromMs: 1_002, toMs: 1_004 }), [3, 2]);
    const [first] = store.bulk.read("s", { limit: 1 });
    assertEquals([first?.id, first?.key, first?.atMs], [ids[0], "k0", 1_000]);
  });
  test("reads records encoded, and no more bytes than asked for", async (store) => {
    const ids = await fill(store, 40);
    const all = store.bulk.readEncoded("s", { limit: 100 });
    const decoded = all.map(({ value }) => Object(decodeCbor(value)).n);
    assertEquals(decoded, numbers(store));
    const sizes = all.map(({ key, value }) => key.length + value.length);
    const bytesMax = sizes[0]! + sizes[1]! + sizes[2]!;
    assertEquals(numbers(store, { limit: 100, bytesMax }), [0, 1, 2]);
    assertEquals(numbers(store, { limit: 100, bytesMax: 1 }), [0]);
    await store.commit([{ op: "remove", stream: "s", ids: ids.slice(0, 20) }]);
    await fill(store, 5);
    assertEquals(numbers(store, { limit: 100, bytesMax: 1 }), [20]);
    assertEquals(numbers(store, { limit: 3, bytesMax: 1e9 }), [20, 21, 22]);
  });
  test("removes records of streams, each counted once", async (store) => {
    const ids = await fill(store, 40);
    const remove = (...which: number[]): StoreOp => ({
      op: "remove",
      stream: "s",
      ids: which.map((i) => ids[i]!),
    });
    await store.commit([remove(3, 0, 1, 39)]);
    await store.commit([remove(1, 5), { op: "put", bucket: "b", key: "k", value: 1 }]);
    assertEquals(numbers(store, { limit: 4 }), [2, 4, 6, 7]);
    assertEquals(numbers(store, { newestFirst: true, limit: 1 }), [38]);
    await store.commit([remove(...ids.keys())]);
    await store.snapshot();
    await store.commit([append(1, "other")]);
    const { rows, appended, removed, bytes } = store.bulk.stats("s");
    assertEquals([numbers(store), rows, appended, removed, bytes], [[], 0, 40, 40, 0]);
    assertEquals(store.bulk.stats("other").rows, 21);
  });
  test("keeps streams to their quota and spares what is on its way", async (store) => {
    const kept = new Set<number>();
    const keep = (id: number) => kept.has(id);
    store.bulk.declare("s", { ttlMs: 1e12, rowsMax: 10, bytesMax: 1e9, keep });
    const ids = await fill(store, 8);
    kept.add(ids[1]!);
    await fill(store, 40);
    await store.snapshot();
    const { rows, dropped } = store.bulk.stats("s");
    assertEquals([rows, dropped], [10, { quota: 38 }]);
    assertEquals(numbers(store).slice(0, 2), [1, 31]);
    assertEquals(store.bulk.stats("other").rows, 24);
  });
}
