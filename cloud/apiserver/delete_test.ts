import { assert, assertEquals, assertMatch } from "@std/assert";
import { ManualClock, samplePod, type TestServer, testServer } from "./testing.ts";

const NS = "/api/v1/namespaces";
const PODS = `${NS}/default/pods`;
const MAPS = `${NS}/default/configmaps`;
const MERGE = { headers: { "content-type": "application/merge-patch+json" } };

/** A pod that its node runs. */
async function placedPod(api: TestServer, name = "a"): Promise<void> {
  await api.call("POST", PODS, samplePod(name), { expect: 201 });
  const binding = { target: { kind: "Node", name: "edge-1" } };
  await api.call("POST", `${PODS}/${name}/binding`, binding, { expect: 201 });
}

Deno.test("delete: what nobody runs and nothing holds goes at once", async () => {
  await using api = await testServer();
  await api.call("POST", PODS, samplePod("a"), { expect: 201 });
  const { body } = await api.call("DELETE", `${PODS}/a`, undefined, { expect: 200 });
  assertEquals([body.kind, body.status, body.details.name], ["Status", "Success", "a"]);
  assert(body.details.uid);
  await api.call("DELETE", `${PODS}/a`, undefined, { expect: 404 });
});

Deno.test("delete: a placed pod is marked with its grace until its node confirms", async () => {
  const clock = new ManualClock();
  await using api = await testServer({ clock });
  await placedPod(api);
  const marked = (await api.call("DELETE", `${PODS}/a`, undefined, { expect: 200 })).body;
  assertEquals(marked.metadata.deletionGracePeriodSeconds, 30);
  assertEquals(marked.metadata.deletionTimestamp, "2026-01-01T00:00:30Z");
  clock.advance(5_000);
  const again = (await api.call("DELETE", `${PODS}/a`, undefined, { expect: 200 })).body;
  assertEquals(again.metadata.resourceVersion, marked.metadata.resourceVersion);
  const shorter = (await api.call("DELETE", `${PODS}/a`, { gracePeriodSeconds: 10 })).body;
  assertEquals(shorter.metadata.deletionTimestamp, "2026-01-01T00:00:10Z");
  const longer = (await api.call("DELETE", `${PODS}/a?gracePeriodSeconds=60`)).body;
  assertEquals(longer.metadata.deletionGracePeriodSeconds, 10);
  await api.call("PATCH", `${PODS}/a/status`, { status: { phase: "Failed" } }, MERGE);
  await api.call("GET", `${PODS}/a`, undefined, { expect: 200 });
  await api.call("DELETE", `${PODS}/a`, { gracePeriodSeconds: 0 }, { expect: 200 });
  await api.call("GET", `${PODS}/a`, undefined, { expect: 404 });
});

Deno.test("delete: a finished pod needs no grace", async () => {
  await using api = await testServer();
  await placedPod(api);
  await api.call("PATCH", `${PODS}/a/status`, { status: { phase: "Succeeded" } }, MERGE);
  const { body } = await api.call("DELETE", `${PODS}/a`, undefined, { expect: 200 });
  assertEquals(body.status, "Success");
});

Deno.test("delete: finalizers hold an object until the last is taken away", async () => {
  await using api = await testServer();
  const finalizers = ["example.com/one", "example.com/two"];
  await api.call("POST", MAPS, { metadata: { name: "a", finalizers } }, { expect: 201 });
  const held = (await api.call("DELETE", `${MAPS}/a`, undefined, { expect: 200 })).body;
  assert(held.metadata.deletionTimestamp);
  const one = { metadata: { finalizers: ["example.com/two"] } };
  await api.call("PATCH", `${MAPS}/a`, one, { ...MERGE, expect: 200 });
  await api.call("GET", `${MAPS}/a`, undefined, { expect: 200 });
  await api.call("PATCH", `${MAPS}/a`, { metadata: { finalizers: [] } }, { ...MERGE, expect: 200 });
  await api.call("GET", `${MAPS}/a`, undefined, { expect: 404 });
});

Deno.test("delete: preconditions must hold", async () => {
  await using api = await testServer();
  const { body } = await api.call("POST", MAPS, { metadata: { name: "a" } }, { expect: 201 });
  const remove = (preconditions: unknown, expect: number) =>
    api.call("DELETE", `${MAPS}/a`, { preconditions }, { expect });
  const refused = await remove({ uid: "other" }, 409);
  assertMatch(refused.body.message, /Precondition failed: UID in precondition: other/);
  await remove({ resourceVersion: "1" }, 409);
  const { uid, resourceVersion } = body.metadata;
  await remove({ uid, resourceVersion }, 200);
});

Deno.test("delete: options that make no sense are 400", async () => {
  await using api = await testServer();
  await api.call("POST", MAPS, { metadata: { name: "a" } }, { expect: 201 });
  await api.call("DELETE", `${MAPS}/a`, { gracePeriodSeconds: "soon" }, { expect: 400 });
  await api.call("DELETE", `${MAPS}/a`, { propagationPolicy: "Sideways" }, { expect: 400 });
  await api.call("DELETE", `${MAPS}/a`, { propagationPolicy: "Foreground" }, { expect: 200 });
});

Deno.test("deletecollection: deletes what the selector chooses", async () => {
  await using api = await testServer();
  for (const [name, keep] of [["a", "no"], ["b", "yes"], ["c", "no"]] as const) {
    await api.call("POST", MAPS, { metadata: { name, labels: { keep } } }, { expect: 201 });
  }
  const { body } = await api.call("DELETE", `${MAPS}?labelSelector=keep%3Dno`);
  assertEquals([body.kind, body.items.length], ["ConfigMapList", 2]);
  const left = (await api.call("GET", MAPS)).body.items;
  assertEquals(left.map(({ metadata }: { metadata: { name: string } }) => metadata.name), ["b"]);
});

Deno.test("namespaces: the default ones are made at start, and stay", async () => {
  const first = await testServer();
  const names = async (api: TestServer) =>
    (await api.call("GET", NS)).body.items.map((item: { metadata: { name: string } }) =>
      item.metadata.name
    );
  const expected = ["default", "kube-node-lease", "kube-public", "kube-system"];
  assertEquals(await names(first), expected);
  await first.server.close();
  await using second = await testServer({ store: first.store });
  assertEquals(await names(second), expected);
  await second.call("DELETE", `${NS}/kube-system`, undefined, { expect: 403 });
});

Deno.test("namespaces: a deleted one takes nothing new and goes when finalized", async () => {
  await using api = await testServer();
  await api.call("POST", NS, { metadata: { name: "n" } }, { expect: 201 });
  const marked = (await api.call("DELETE", `${NS}/n`, undefined, { expect: 200 })).body;
  assertEquals([marked.status.phase, marked.spec.finalizers], ["Terminating", ["kubernetes"]]);
  const late = await api.call("POST", `${NS}/n/configmaps`, { metadata: { name: "a" } }, {
    expect: 403,
  });
  assertMatch(late.body.message, /because it is being terminated/);
  const empty = { ...marked, spec: { finalizers: [] } };
  await api.call("PUT", `${NS}/n/finalize`, empty, { expect: 200 });
  await api.call("GET", `${NS}/n`, undefined, { expect: 404 });
});

Deno.test("binding: gives a pod its node once", async () => {
  await using api = await testServer();
  await placedPod(api);
  const pod = (await api.call("GET", `${PODS}/a`)).body;
  assertEquals(pod.spec.nodeName, "edge-1");
  const scheduled = pod.status.conditions.find((c: { type: string }) => c.type === "PodScheduled");
  assertEquals(scheduled.status, "True");
  const again = await api.call("POST", `${PODS}/a/binding`, { target: { name: "edge-2" } }, {
    expect: 409,
  });
  assertMatch(again.body.message, /already assigned to node "edge-1"/);
  await api.call("POST", `${PODS}/a/binding`, { target: {} }, { expect: 422 });
  await api.call("POST", `${PODS}/none/binding`, { target: { name: "n" } }, { expect: 404 });
});

Deno.test("eviction: deletes politely, with its own options", async () => {
  await using api = await testServer();
  await placedPod(api);
  const eviction = { kind: "Eviction", apiVersion: "policy/v1", metadata: { name: "a" } };
  const dry = { ...eviction, deleteOptions: { dryRun: ["All"] } };
  await api.call("POST", `${PODS}/a/eviction`, dry, { expect: 201 });
  assertEquals((await api.call("GET", `${PODS}/a`)).body.metadata.deletionTimestamp, undefined);
  const { body } = await api.call("POST", `${PODS}/a/eviction`, eviction, { expect: 201 });
  assertEquals(body.status, "Success");
  assert((await api.call("GET", `${PODS}/a`)).body.metadata.deletionTimestamp);
});

Deno.test("events: are deleted an hour after they were last seen", async () => {
  const clock = new ManualClock();
  await using api = await testServer({ clock });
  const events = `${NS}/default/events`;
  const make = (name: string, lastTimestamp: string) =>
    api.call("POST", events, {
      metadata: { name },
      involvedObject: { kind: "Pod", name: "a", namespace: "default" },
      lastTimestamp,
    }, { expect: 201 });
  await make("old", "2026-01-01T00:00:00Z");
  clock.advance(1_800_000);
  await make("new", "2026-01-01T00:30:00Z");
  assertEquals(await api.server.expireEvents(clock.nowMs() + 1_800_000), 0);
  assertEquals(await api.server.expireEvents(clock.nowMs() + 1_800_001), 1);
  assertEquals((await api.call("GET", events)).body.items[0].metadata.name, "new");
});
