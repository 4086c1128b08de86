import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { OBJECT_BYTES_MAX } from "../../shared/limits.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { ObjectStorage, skipLostRevisions } from "./storage.ts";
import { WATCH_LIMITS } from "./watch_cache.ts";

const MAPS = { group: "", resource: "configmaps" };

function open(store: MemoryStore, limits = WATCH_LIMITS): ObjectStorage {
  return ObjectStorage.open(store, new SystemClock(), [MAPS], limits);
}

function map(name: string, value = ""): KubeObject {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "ns" }, data: value };
}

function put(storage: ObjectStorage, name: string, value = ""): Promise<unknown> {
  return storage.write(MAPS, "ns", name, () => ({ kind: "put", object: map(name, value) }));
}

const remove = (storage: ObjectStorage, name: string) =>
  storage.write(MAPS, "ns", name, () => ({ kind: "delete" }));

Deno.test("storage: objects and revisions survive a restart; old revisions do not", async () => {
  const store = new MemoryStore();
  const first = open(store);
  await put(first, "a", "1");
  await put(first, "b", "2");
  await remove(first, "a");
  await first.close();
  const second = open(store);
  assertEquals(second.revision, 3);
  assertEquals(second.list(MAPS, undefined).map((o) => o.metadata.name), ["b"]);
  assertEquals(second.get(MAPS, "ns", "b")?.metadata.resourceVersion, "2");
  assertThrows(() => second.watch.watch("configmaps", 2), AppError, "too old");
  second.watch.watch("configmaps", 3).close();
  await put(second, "c");
  assertEquals(second.get(MAPS, "ns", "c")?.metadata.resourceVersion, "4");
});

Deno.test("storage: a failed commit is never seen, and the next revision is higher", async () => {
  const store = new MemoryStore();
  const storage = open(store);
  const watcher = storage.watch.watch("configmaps", 0);
  store.failNext(new AppError("exhausted", "disk full"));
  await assertRejects(() => put(storage, "a"), AppError, "disk full");
  assertEquals(storage.get(MAPS, "ns", "a"), undefined);
  await put(storage, "b");
  assertEquals(watcher.poll()?.key, "ns/b");
  assertEquals(storage.revision, 2);
  watcher.close();
});

Deno.test("storage: writes side by side are published in order of revision", async () => {
  const storage = open(new MemoryStore());
  const watcher = storage.watch.watch("configmaps", 0);
  await Promise.all(Array.from({ length: 50 }, (_, i) => put(storage, `n${i % 10}`, String(i))));
  let last = 0;
  for (let change = watcher.poll(); change; change = watcher.poll()) {
    assert(change.revision === last + 1);
    last = change.revision;
  }
  assertEquals(last, 50);
  watcher.close();
});

Deno.test("storage: writes of one key see one another", async () => {
  const storage = open(new MemoryStore());
  await put(storage, "a", "x");
  const add = () =>
    storage.write(MAPS, "ns", "a", (current) => ({
      kind: "put",
      object: { ...current!, data: `${current!.data}y` },
    }));
  await Promise.all([add(), add(), add()]);
  assertEquals(storage.get(MAPS, "ns", "a")?.data, "xyyy");
});

Deno.test("storage: an object over the bound is refused by name and size", async () => {
  const storage = open(new MemoryStore());
  const error = await assertRejects(
    () => put(storage, "a", "x".repeat(OBJECT_BYTES_MAX)),
    AppError,
  );
  assertEquals(error.code, "invalid");
  assert(error.message.startsWith('Cannot store configmaps "a": size must be <= 1572864 bytes'));
});

Deno.test("storage: list shows the state of an earlier, remembered revision", async () => {
  const storage = open(new MemoryStore(), { ...WATCH_LIMITS, changesMax: 4 });
  await put(storage, "a", "1");
  await put(storage, "b", "1");
  await put(storage, "a", "2");
  await remove(storage, "b");
  await put(storage, "c", "1");
  const at = (revision: number) =>
    storage.list(MAPS, "ns", revision).map((o) => `${o.metadata.name}=${o.data}`);
  assertEquals(at(2), ["a=1", "b=1"]);
  assertEquals(at(4), ["a=2"]);
  await put(storage, "c", "2");
  assertThrows(() => at(1), AppError, "too old");
});

Deno.test("storage: close leaves no write under way and refuses later ones", async () => {
  const store = new MemoryStore();
  const storage = open(store);
  const write = put(storage, "a").then(() => true, () => false);
  await storage.close();
  assertEquals(await write, store.count("k8s/configmaps") === 1);
  await assertRejects(() => put(storage, "b"), AppError, "closing");
});

Deno.test("storage: after a loss of commits no revision is given out twice", async () => {
  const store = new MemoryStore();
  const before = open(store);
  await put(before, "a", "1");
  await before.close();
  await store.commit([skipLostRevisions(store)]);
  const later = open(store);
  const { revision } = later;
  assert(revision > 1_000_000);
  await put(later, "a", "2");
  assertEquals(later.revision, revision + 1);
});
