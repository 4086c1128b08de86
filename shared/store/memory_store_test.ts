import { assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../errors.ts";
import { MemoryStore } from "./memory_store.ts";
import { storeSuite } from "./store_suite.ts";

storeSuite("memory", () =>
  Promise.resolve({
    store: new MemoryStore(),
    dispose: () => Promise.resolve(),
  }));

Deno.test("MemoryStore.failNext() fails one commit and leaves no part of it", async () => {
  const store = new MemoryStore();
  store.failNext(new AppError("exhausted", "full"));
  await assertRejects(() => store.commit([{ op: "put", bucket: "b", key: "k", value: 1 }]));
  assertEquals(store.count("b"), 0);
  await store.commit([{ op: "put", bucket: "b", key: "k", value: 2 }]);
  assertEquals(store.get("b", "k"), 2);
});
