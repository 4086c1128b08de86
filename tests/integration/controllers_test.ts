/** The controllers over the real embedded API, in process, with the store in memory. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type ApiServer, createApiServer } from "../../cloud/apiserver/app.ts";
import { SYSTEM } from "../../cloud/apiserver/authorize.ts";
import { allKinds } from "../../cloud/apiserver/kinds/registry.ts";
import { Controllers } from "../../cloud/controllers/controllers.ts";
import { FakeSessions } from "../../cloud/controllers/testing/sessions.ts";
import { sampleConfigMap, sampleNode, samplePod } from "../../cloud/controllers/testing/samples.ts";
import { inProcessKube } from "../../cloud/kube/in_process.ts";
import { Informer } from "../../cloud/kube/informer.ts";
import type { KubeClient } from "../../cloud/kube/port.ts";
import { Machine } from "../../edge/node/machine.ts";
import { buildNode } from "../../edge/node/node_object.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SystemClock } from "../../shared/clock.ts";
import { isAppError } from "../../shared/errors.ts";
import { type GroupVersionResource, GVR } from "../../shared/k8s/gvr.ts";
import type { ConfigMap, KubeObject, Lease, Node, Pod } from "../../shared/k8s/types.ts";
import { SystemRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";

/** Generous: a loaded machine. What is waited for takes milliseconds. */
const WAIT_MS = 10_000;

class Cloud implements AsyncDisposable {
  readonly sessions = new FakeSessions();
  readonly clock = new SystemClock();
  readonly scope = new TaskScope();
  readonly kube: KubeClient;
  readonly controllers: Controllers;
  readonly #server: ApiServer;

  private constructor(server: ApiServer, store: MemoryStore) {
    this.#server = server;
    const { clock } = this;
    const random = new SystemRandom();
    const kube = inProcessKube(server.fetchAs(SYSTEM));
    this.kube = kube;
    const namespaced = allKinds().filter((kind) => kind.namespaced && !kind.view)
      .map(({ group, version, plural }) => ({ group, version, resource: plural }));
    this.controllers = new Controllers({
      kube,
      store,
      clock,
      random,
      follow: (gvr) => new Informer(kube, gvr, { clock, random }),
      namespacedResources: () => Promise.resolve(namespaced),
      settings: { nodeGraceMs: 50 },
    });
    this.controllers.attachSessions(this.sessions);
  }

  static async start(store = new MemoryStore()): Promise<Cloud> {
    const server = await createApiServer({
      store,
      clock: new SystemClock(),
      random: new SystemRandom(),
      nodeProxy: { fetch: () => Promise.reject(new Error("no tunnel in this test")) },
      authenticator: { authenticate: () => Promise.resolve(undefined) },
      version: "0.1.0",
    });
    const cloud = new Cloud(server, store);
    cloud.scope.spawn("controllers", (signal) => cloud.controllers.run(signal));
    await cloud.controllers.ready(cloud.scope.signal);
    return cloud;
  }

  create<T extends KubeObject>(gvr: GroupVersionResource, object: T): Promise<T> {
    return this.kube.create(gvr, object, this.scope.signal);
  }

  async find<T extends KubeObject>(
    gvr: GroupVersionResource,
    name: string,
    namespace?: string,
  ): Promise<T | undefined> {
    const target = namespace === undefined ? { name } : { namespace, name };
    try {
      return await this.kube.get<T>(gvr, target, this.scope.signal);
    } catch (error) {
      if (isAppError(error, "not_found")) return undefined;
      throw error;
    }
  }

  pod(name: string): Promise<Pod | undefined> {
    return this.find<Pod>(GVR.pods, name, "default");
  }

  items(node = "n1"): string[] {
    return [...this.controllers.desired.projection(node).items.keys()].sort();
  }

  register(node: Node) {
    const name = node.metadata.name ?? "";
    return this.controllers.sink.apply(name, { kind: "node", node }, this.scope.signal);
  }

  async until(isTrue: () => boolean | Promise<boolean>, what: string): Promise<void> {
    const deadlineMs = this.clock.monotonicMs() + WAIT_MS;
    while (!await isTrue()) {
      assert(this.clock.monotonicMs() < deadlineMs, `still waiting for ${what}`);
      await this.clock.sleep(2);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.scope[Symbol.asyncDispose]();
    await this.#server.close();
  }
}

function nodeName(pod: Pod | undefined): string | undefined {
  return pod?.spec.nodeName;
}

Deno.test("a pod goes from created to placed, projected, reported, deleted and gone", async () => {
  await using cloud = await Cloud.start();
  const { controllers } = cloud;
  cloud.sessions.open("n1");
  assertEquals(await cloud.register(sampleNode("n1")), { kind: "applied" });
  await cloud.create<ConfigMap>(GVR.configmaps, sampleConfigMap("settings", { a: "1" }));
  const volumes = [{ name: "v", configMap: { name: "settings" } }];
  const { metadata } = await cloud.create<Pod>(GVR.pods, samplePod("web", { volumes }));
  await cloud.until(async () => nodeName(await cloud.pod("web")) === "n1", "the binding");
  await cloud.until(() => cloud.items().length === 3, "the projection");
  assertEquals(cloud.items(), ["configmaps/default/settings", "nodes//n1", "pods/default/web"]);

  const ref = { namespace: "default", name: "web", uid: metadata.uid ?? "" };
  const { generation } = controllers.desired.projection("n1");
  const apply = (report: Parameters<typeof controllers.sink.apply>[1]) =>
    controllers.sink.apply("n1", report, cloud.scope.signal);
  await apply({ kind: "pod_status", pod: ref, status: { phase: "Running", podIP: "10.1.0.2" } });
  assertEquals((await cloud.pod("web"))?.status?.phase, "Running");

  await cloud.kube.delete(GVR.pods, { namespace: "default", name: "web" }, {}, cloud.scope.signal);
  const projected = () =>
    controllers.desired.projection("n1").items.get("pods/default/web")?.object.metadata;
  await cloud.until(() => projected()?.deletionTimestamp !== undefined, "the deletion to travel");
  assertEquals(controllers.desired.projection("n1").generation, generation + 1);
  await apply({ kind: "pod_gone", pod: ref });
  assertEquals(await cloud.pod("web"), undefined);
  await cloud.until(() => cloud.items().length === 1, "the projection to shrink");
});

Deno.test("what an edge says of its machine registers as a node that takes pods", async () => {
  await using cloud = await Cloud.start();
  const node = buildNode({
    identity: { name: "n1", labels: { site: "plant-7" }, taints: [], podsMax: 110 },
    machine: await new Machine({ dataDir: Deno.cwd() }).read(),
    runtime: { ready: true, name: "containerd", version: "1.6.20", network: { ready: true } },
    previous: undefined,
    nowMs: cloud.clock.nowMs(),
  });
  assertEquals(await cloud.register(node), { kind: "applied" });
  const stored = await cloud.find<Node>(GVR.nodes, "n1");
  assertEquals(stored?.metadata.labels, node.metadata.labels);
  assertEquals(stored?.status?.nodeInfo, node.status?.nodeInfo);
  assertEquals(stored?.status?.addresses, node.status?.addresses);
  await cloud.create<Pod>(GVR.pods, samplePod("web"));
  await cloud.until(async () => nodeName(await cloud.pod("web")) === "n1", "the binding");
  await cloud.until(() => cloud.items().length === 2, "the projection");
  const { generation } = projectionOf(cloud);
  const { resourceVersion } = stored!.metadata;
  await cloud.register(node); // said again: nothing is written, nothing travels
  const again = await cloud.find<Node>(GVR.nodes, "n1");
  assertEquals(again?.metadata.resourceVersion, resourceVersion);
  assertEquals(projectionOf(cloud).generation, generation);
});

Deno.test("a pod that fits nowhere says why, and is placed when a node comes", async () => {
  await using cloud = await Cloud.start();
  await cloud.register(sampleNode("n1"));
  const containers = [{ name: "c", image: "i", resources: { requests: { memory: "8Gi" } } }];
  await cloud.create<Pod>(GVR.pods, samplePod("big", { containers }));
  const condition = async () =>
    (await cloud.pod("big"))?.status?.conditions?.find((c) => c.type === "PodScheduled");
  await cloud.until(async () => (await condition())?.status === "False", "the condition");
  assertStringIncludes(
    (await condition())?.message ?? "",
    "0/1 nodes are available: 1 Insufficient memory.",
  );
  const large = sampleNode("n2");
  large.status!.allocatable!.memory = "16Gi";
  await cloud.register(large);
  await cloud.until(async () => nodeName(await cloud.pod("big")) === "n2", "the binding");
  const reasons = async () => {
    const { items } = await cloud.kube.list(GVR.events, {}, cloud.scope.signal);
    return items.map((event) => event.reason).sort().join();
  };
  await cloud.until(async () => await reasons() === "FailedScheduling,Scheduled", "both events");
});

Deno.test("a lost node becomes Unknown and tainted, and heals by its own report", async () => {
  await using cloud = await Cloud.start();
  const node = () => cloud.find<Node>(GVR.nodes, "n1");
  const ready = async () =>
    (await node())?.status?.conditions?.find((c) => c.type === "Ready")?.status;
  cloud.sessions.open("n1");
  await cloud.register(sampleNode("n1"));
  const lease = () => cloud.find<Lease>(GVR.leases, "n1", "kube-node-lease");
  await cloud.until(async () => Boolean((await lease())?.spec?.renewTime), "the lease");
  await cloud.until(() => cloud.items().length === 1, "the projection");
  const { generation } = projectionOf(cloud);
  cloud.sessions.close("n1");
  await cloud.until(async () => await ready() === "Unknown", "Unknown");
  await cloud.until(async () => (await node())?.spec?.taints?.length === 1, "the taint");
  cloud.sessions.open("n1");
  await cloud.register(sampleNode("n1"));
  assertEquals(await ready(), "True");
  await cloud.until(async () => !(await node())?.spec?.taints?.length, "the taint to go");
  assertEquals(projectionOf(cloud).generation, generation); // nothing of this travels down
});

function projectionOf(cloud: Cloud): { generation: number } {
  return cloud.controllers.desired.projection("n1");
}

Deno.test("a pod of an absent node waits, is forced, and its name is another pod's", async () => {
  await using cloud = await Cloud.start();
  await cloud.register(sampleNode("n1")); // and no session: the node is away
  const key = "pods/default/web";
  const held = () => cloud.controllers.desired.projection("n1").items.get(key);
  const target = { namespace: "default", name: "web" };
  const first = await cloud.create<Pod>(GVR.pods, samplePod("web", { nodeName: "n1" }));
  await cloud.until(() => held()?.uid === first.metadata.uid, "the first to be projected");
  await cloud.kube.delete(GVR.pods, target, {}, cloud.scope.signal);
  await cloud.until(
    () => held()?.object.metadata.deletionTimestamp !== undefined,
    "the deletion to be projected",
  );
  // Terminating until the node says so, or somebody who knows better
  assert((await cloud.pod("web"))?.metadata.deletionTimestamp);
  await cloud.kube.delete(GVR.pods, target, { gracePeriodSeconds: 0 }, cloud.scope.signal);
  assertEquals(await cloud.pod("web"), undefined);
  await cloud.until(() => held() === undefined, "the deletion that the node will find");
  const second = await cloud.create<Pod>(GVR.pods, samplePod("web", { nodeName: "n1" }));
  await cloud.until(() => held()?.uid === second.metadata.uid, "the second to be projected");
  // what the node says late of the first touches nothing of the second
  const ref = { ...target, uid: first.metadata.uid ?? "" };
  for (
    const report of [
      { kind: "pod_status", pod: ref, status: { phase: "Failed" } },
      { kind: "pod_gone", pod: ref },
    ] as const
  ) {
    const outcome = await cloud.controllers.sink.apply("n1", report, cloud.scope.signal);
    assertEquals(outcome.kind, "dropped");
  }
  const now = await cloud.pod("web");
  assertEquals(now?.metadata.uid, second.metadata.uid);
  assertEquals(now?.status?.phase, "Pending");
});

Deno.test("a deleted namespace is emptied and goes", async () => {
  await using cloud = await Cloud.start();
  const metadata = { name: "team" };
  await cloud.create(GVR.namespaces, { apiVersion: "v1", kind: "Namespace", metadata });
  await cloud.create<ConfigMap>(GVR.configmaps, {
    ...sampleConfigMap("c"),
    metadata: { namespace: "team", name: "c" },
  });
  await cloud.create<Pod>(GVR.pods, samplePod("p", {}, { metadata: { namespace: "team" } }));
  await cloud.kube.delete(GVR.namespaces, { name: "team" }, {}, cloud.scope.signal);
  await cloud.until(
    async () => await cloud.find(GVR.namespaces, "team") === undefined,
    "the namespace to go",
  );
  assertEquals(await cloud.find(GVR.configmaps, "c", "team"), undefined);
});

Deno.test("generations hold over a restart of the cloud", async () => {
  const store = new MemoryStore();
  let before;
  {
    await using cloud = await Cloud.start(store);
    await cloud.register(sampleNode("n1"));
    await cloud.create<Pod>(GVR.pods, samplePod("web"));
    await cloud.until(() => cloud.items().length === 2, "the projection");
    const { generation, digest } = cloud.controllers.desired.projection("n1");
    await cloud.controllers.desired.acknowledged("n1", generation);
    before = { generation, digest, cloudId: cloud.controllers.desired.cloudId };
  }
  await using cloud = await Cloud.start(store);
  const { generation, digest } = cloud.controllers.desired.projection("n1");
  assertEquals({ generation, digest, cloudId: cloud.controllers.desired.cloudId }, before);
});

Deno.test("placing a pod takes milliseconds", async () => {
  await using cloud = await Cloud.start();
  await cloud.register(sampleNode("n1"));
  const timesMs: number[] = [];
  for (let i = 0; i < 20; i++) {
    const startMs = cloud.clock.monotonicMs();
    await cloud.create<Pod>(GVR.pods, samplePod(`p${i}`));
    const key = `pods/default/p${i}`;
    await cloud.until(() => cloud.items().includes(key), "the projection");
    timesMs.push(cloud.clock.monotonicMs() - startMs);
  }
  timesMs.sort((a, b) => a - b);
  // created, placed and projected; 250 ms leaves room for a machine under load
  assert(timesMs[10]! < 250, `median was ${timesMs[10]} ms`);
});
