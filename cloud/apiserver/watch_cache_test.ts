import { assert, assertEquals, assertThrows } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import type { Change } from "./change_ring.ts";
import { openWatch, testServer } from "./testing.ts";
import { WATCH_LIMITS, WatchCache } from "./watch_cache.ts";

const MAPS = "/api/v1/namespaces/default/configmaps";
const LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

function change(revision: number, resource: string, bytes = 10): Change {
  const object = { apiVersion: "v1", kind: "X", metadata: { name: `x${revision}` } };
  return {
    revision,
    resource,
    key: `/x${revision}`,
    type: "ADDED",
    object,
    before: undefined,
    bytes,
  };
}

const revisions = (cache: WatchCache, resource: string, from: number) =>
  cache.since(resource, from).map(({ revision }) => revision);

function assertStale(run: () => unknown): void {
  assertEquals(assertThrows(run, AppError).code, "stale");
}

Deno.test("watch cache: a busy resource never makes a quiet one forget", () => {
  const cache = new WatchCache(100, { ...WATCH_LIMITS, changesMax: 4 });
  cache.publish(change(101, "quiet"));
  for (let revision = 102; revision < 200; revision++) cache.publish(change(revision, "busy"));
  assertEquals(revisions(cache, "quiet", 100), [101]);
  assertEquals(revisions(cache, "quiet", 150), []);
  assertEquals(revisions(cache, "busy", 197), [198, 199]);
  assertEquals(revisions(cache, "busy", 195), [196, 197, 198, 199]);
  assertStale(() => cache.since("busy", 194));
  assertEquals(revisions(cache, "never changed", 100), []);
});

Deno.test("watch cache: what was before the start or is yet to come is not known", () => {
  const cache = new WatchCache(100);
  cache.publish(change(101, "a"));
  for (const resource of ["a", "b"]) {
    assertStale(() => cache.since(resource, 99));
    assertStale(() => cache.since(resource, 102));
  }
});

Deno.test("watch cache: beyond its bytes the ring that holds most gives way", () => {
  const cache = new WatchCache(0, { ...WATCH_LIMITS, bytesMax: 100 });
  cache.publish(change(1, "small", 10));
  for (let revision = 2; revision < 50; revision++) cache.publish(change(revision, "big", 30));
  assert(cache.bytes <= 100);
  assertEquals(revisions(cache, "small", 0), [1]);
  assertEquals(revisions(cache, "big", 46), [47, 48, 49]);
  assertStale(() => cache.since("big", 45));
});

Deno.test("watch cache: a change wakes the watchers of its resource only", () => {
  const cache = new WatchCache(0);
  const [a, b] = [cache.watch("a", 0), cache.watch("b", 0)];
  assertEquals(cache.watchers, 2);
  cache.publish(change(1, "a"));
  assertEquals(a.poll()?.revision, 1);
  assertEquals(b.poll(), undefined);
  a.close();
  a.close();
  assertEquals(cache.watchers, 1);
  cache.closeAll();
  assertEquals(cache.watchers, 0);
});

Deno.test("watch: a quiet resource is followed on past thousands of leases", async () => {
  const watchLimits = { ...WATCH_LIMITS, changesMax: 8 };
  await using api = await testServer({ watchLimits });
  const { body } = await api.call("GET", MAPS);
  const from = body.metadata.resourceVersion;
  await api.call("POST", MAPS, { metadata: { name: "first" } }, { expect: 201 });
  for (let i = 0; i < 30; i++) {
    await api.call("POST", LEASES, { metadata: { name: `node-${i}` } }, { expect: 201 });
  }
  const watch = await openWatch(api, `${MAPS}?watch=true&resourceVersion=${from}`);
  const { type, object } = await watch.next();
  assertEquals([type, object.metadata.name], ["ADDED", "first"]);
  await watch.close();
  const leases = await openWatch(api, `${LEASES}?watch=true&resourceVersion=${from}`);
  assertEquals((await leases.next()).object.code, 410);
  await leases.close();
});

Deno.test("list: a page of a quiet resource stays where the first was cut", async () => {
  const watchLimits = { ...WATCH_LIMITS, changesMax: 4 };
  await using api = await testServer({ watchLimits });
  for (const name of ["a", "b", "c"]) {
    await api.call("POST", MAPS, { metadata: { name } }, { expect: 201 });
  }
  const first = await api.call("GET", `${MAPS}?limit=1`);
  for (let i = 0; i < 9; i++) {
    await api.call("POST", LEASES, { metadata: { name: `node-${i}` } }, { expect: 201 });
  }
  await api.call("DELETE", `${MAPS}/b`, undefined, { expect: 200 });
  const token = encodeURIComponent(first.body.metadata.continue);
  const rest = await api.call("GET", `${MAPS}?limit=5&continue=${token}`, undefined, {
    expect: 200,
  });
  const names = rest.body.items.map((item: { metadata: { name: string } }) => item.metadata.name);
  assertEquals(names, ["b", "c"]);
});
