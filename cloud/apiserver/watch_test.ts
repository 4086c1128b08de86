import { assert, assertEquals } from "@std/assert";
import { ManualClock, openWatch, samplePod, testServer } from "./testing.ts";
import { WATCH_LIMITS } from "./watch_cache.ts";

const PODS = "/api/v1/namespaces/default/pods";
const MAPS = "/api/v1/namespaces/default/configmaps";
const STATUS = { "content-type": "application/merge-patch+json" };

const brief = (event: { type: string; object: { metadata: { name?: string } } } | undefined) =>
  event && `${event.type} ${event.object.metadata.name ?? ""}`.trim();

Deno.test("watch: without a revision, what is there comes first as ADDED", async () => {
  await using api = await testServer();
  await api.call("POST", PODS, samplePod("a"), { expect: 201 });
  for (const query of ["watch=true", "watch=1&resourceVersion=0"]) {
    const watch = await openWatch(api, `${PODS}?${query}`);
    assertEquals(brief(await watch.next()), "ADDED a");
    await watch.close();
  }
});

Deno.test("watch: from a list's revision only later changes come", async () => {
  await using api = await testServer();
  await api.call("POST", PODS, samplePod("a"), { expect: 201 });
  const list = await api.call("GET", PODS);
  const watch = await openWatch(
    api,
    `${PODS}?watch=true&resourceVersion=${list.body.metadata.resourceVersion}`,
  );
  await api.call("PATCH", `${PODS}/a`, { metadata: { labels: { x: "y" } } }, { headers: STATUS });
  await api.call("POST", MAPS, { metadata: { name: "other-kind" } }, { expect: 201 });
  await api.call("DELETE", `${PODS}/a`, undefined, { expect: 200 });
  assertEquals(brief(await watch.next()), "MODIFIED a");
  const gone = await watch.next();
  assertEquals(brief(gone), "DELETED a");
  assert(Number(gone.object.metadata.resourceVersion) > Number(list.body.metadata.resourceVersion));
  await watch.close();
});

Deno.test("watch: objects enter and leave a selection", async () => {
  await using api = await testServer();
  const watch = await openWatch(api, `${PODS}?watch=true&fieldSelector=status.phase%3DRunning`);
  await api.call("POST", PODS, samplePod("a"), { expect: 201 });
  for (const phase of ["Running", "Failed"]) {
    const body = { status: { phase } };
    await api.call("PATCH", `${PODS}/a/status`, body, { headers: STATUS, expect: 200 });
  }
  assertEquals(brief(await watch.next()), "ADDED a");
  const left = await watch.next();
  assertEquals(brief(left), "DELETED a");
  assertEquals(left.object.status.phase, "Running");
  await watch.close();
});

Deno.test("watch: a revision too old or never seen is 410 Expired, as an ERROR event", async () => {
  const watchLimits = { ...WATCH_LIMITS, changesMax: 3 };
  await using api = await testServer({ watchLimits });
  for (const name of ["a", "b", "c", "d"]) {
    await api.call("POST", MAPS, { metadata: { name } }, { expect: 201 });
  }
  for (const revision of ["1", "424242"]) {
    const watch = await openWatch(api, `${MAPS}?watch=true&resourceVersion=${revision}`);
    const { type, object } = await watch.next();
    assertEquals([type, object.code, object.reason], ["ERROR", 410, "Expired"]);
    assertEquals(await watch.next(), undefined);
    await watch.close();
  }
});

Deno.test("watch: timeoutSeconds ends it cleanly, bookmarks come before", async () => {
  const clock = new ManualClock();
  await using api = await testServer({ clock });
  const path = `${MAPS}?watch=true&timeoutSeconds=90&allowWatchBookmarks=true`;
  const watch = await openWatch(api, path);
  const first = watch.next();
  await Promise.resolve();
  clock.advance(60_000);
  const { type, object } = await first;
  assertEquals([type, object.kind], ["BOOKMARK", "ConfigMap"]);
  const list = await api.call("GET", MAPS);
  assertEquals(object.metadata.resourceVersion, list.body.metadata.resourceVersion);
  const end = watch.next();
  clock.advance(30_000);
  assertEquals(await end, undefined);
  await watch.close();
});

/** Its timers fire a little early, as timers that drop fractions do. */
class HastyClock extends ManualClock {
  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return super.sleep(Math.max(0, ms - 1), signal);
  }

  /** Advances, and lets the woken run. */
  async pass(ms: number): Promise<void> {
    this.advance(ms);
    for (let i = 0; i < 50; i++) await Promise.resolve();
  }
}

Deno.test("watch: a timer that fires early does not keep it open for ever", async () => {
  const clock = new HastyClock();
  await using api = await testServer({ clock });
  const watch = await openWatch(api, `${MAPS}?watch=true&timeoutSeconds=5`);
  const end = watch.next();
  await clock.pass(4_999);
  await clock.pass(1);
  assertEquals(await end, undefined);
  await watch.close();
});

Deno.test("watch: sendInitialEvents ends the replay with a marked bookmark", async () => {
  await using api = await testServer();
  await api.call("POST", MAPS, { metadata: { name: "a" } }, { expect: 201 });
  const query = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true";
  const watch = await openWatch(api, `${MAPS}?${query}&resourceVersionMatch=NotOlderThan`);
  assertEquals(brief(await watch.next()), "ADDED a");
  const mark = await watch.next();
  assertEquals(mark.type, "BOOKMARK");
  assertEquals(mark.object.metadata.annotations["k8s.io/initial-events-end"], "true");
  await api.call("POST", MAPS, { metadata: { name: "b" } }, { expect: 201 });
  assertEquals(brief(await watch.next()), "ADDED b");
  await watch.close();
  await api.call("GET", `${MAPS}?${query}`, undefined, { expect: 422 });
});

Deno.test("watch: a client that does not read is ended, the others go on", async () => {
  const watchLimits = { ...WATCH_LIMITS, pendingMax: 5 };
  await using api = await testServer({ watchLimits });
  const slow = await openWatch(api, `${MAPS}?watch=true`);
  const good = await openWatch(api, `${MAPS}?watch=true`);
  for (let i = 0; i < 8; i++) {
    await api.call("POST", MAPS, { metadata: { name: `m${i}` } }, { expect: 201 });
    assertEquals(brief(await good.next()), `ADDED m${i}`);
  }
  assertEquals(api.server.storage.watch.slowWatchers, 1);
  assertEquals(api.server.storage.watch.watchers, 1);
  assertEquals(await slow.next(), undefined);
  await good.close();
  await slow.close();
});

Deno.test("watch: one watch too many is 429", async () => {
  await using api = await testServer({ watchLimits: { ...WATCH_LIMITS, watchersMax: 1 } });
  const watch = await openWatch(api, `${MAPS}?watch=true`);
  const refused = await api.call("GET", `${MAPS}?watch=true`, undefined, { expect: 429 });
  assertEquals(refused.headers.get("retry-after"), "1");
  await watch.close();
  await (await openWatch(api, `${MAPS}?watch=true`)).close();
});

Deno.test("watch: as Table, columns come with the first event only", async () => {
  await using api = await testServer();
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
  const watch = await openWatch(api, `${MAPS}?watch=true`, { accept });
  await api.call("POST", MAPS, { metadata: { name: "a" }, data: { k: "v" } }, { expect: 201 });
  await api.call("POST", MAPS, { metadata: { name: "b" } }, { expect: 201 });
  const first = (await watch.next()).object;
  assertEquals([first.kind, first.rows.length], ["Table", 1]);
  assertEquals(first.rows[0].object.kind, "PartialObjectMetadata");
  assert(first.columnDefinitions.length > 0);
  assertEquals(((await watch.next()).object.columnDefinitions ?? []).length, 0);
  await watch.close();
});

Deno.test("watch: the server's close ends it", async () => {
  const api = await testServer();
  const watch = await openWatch(api, `${MAPS}?watch=true`);
  const end = watch.next();
  await api.server.close();
  assertEquals(await end, undefined);
  await watch.close();
});
