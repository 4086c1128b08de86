import { assert, assertEquals, assertThrows } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { ConfigMap, Node, Pod, Secret } from "../../shared/k8s/types.ts";
import { SeededRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { inventoryDigest } from "../../shared/wire/desired.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { Projector, type ProjectorCaches } from "./projector.ts";
import { MemoryKube } from "./testing/memory_kube.ts";
import { sampleConfigMap, sampleNode, samplePod } from "./testing/samples.ts";
import { settle, until } from "./testing/until.ts";

class World implements AsyncDisposable {
  readonly kube: MemoryKube;
  readonly store: MemoryStore;
  readonly clock = new SimClock();
  readonly scope = new TaskScope();
  readonly projector: Projector;
  readonly caches: ProjectorCaches;

  constructor(kube = new MemoryKube(), store = new MemoryStore()) {
    this.kube = kube;
    this.store = store;
    this.caches = {
      nodes: kube.cache<Node>(GVR.nodes),
      pods: kube.cache<Pod>(GVR.pods),
      configmaps: kube.cache<ConfigMap>(GVR.configmaps),
      secrets: kube.cache<Secret>(GVR.secrets),
    };
    this.projector = new Projector({
      caches: this.caches,
      store,
      random: new SeededRandom(1),
      clock: this.clock,
    });
  }

  async start(): Promise<this> {
    for (const [name, cache] of Object.entries(this.caches)) {
      this.scope.spawn(name, (signal) => cache.run(signal));
    }
    this.scope.spawn("projector", (signal) => this.projector.run(signal));
    await this.projector.ready(this.scope.signal);
    return this;
  }

  generation(node = "n1"): number {
    return this.projector.projection(node).generation;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.scope[Symbol.asyncDispose]();
  }
}

Deno.test("a bound pod and what it names make a new generation, others do not", async () => {
  await using world = await new World().start();
  const { kube, projector } = world;
  let calls = 0;
  projector.subscribe("n1", () => calls++);
  kube.put(GVR.nodes, sampleNode("n1"));
  kube.put(GVR.configmaps, sampleConfigMap("settings"));
  kube.put(GVR.pods, samplePod("free"));
  kube.put(
    GVR.pods,
    samplePod("web", { nodeName: "n1", volumes: [{ name: "v", configMap: { name: "settings" } }] }),
  );
  await until(() => projector.projection("n1").items.size === 3, "three items");
  assertEquals([...projector.projection("n1").items.keys()].sort(), [
    "configmaps/default/settings",
    "nodes//n1",
    "pods/default/web",
  ]);
  assert(calls >= 1);
  const { digest, items } = projector.projection("n1");
  assertEquals(digest, inventoryDigest(items.values()));
  assertEquals(projector.projection("n2").generation, 0);
});

Deno.test("a status report makes no new generation", async () => {
  await using world = await new World().start();
  const { kube } = world;
  const pod = kube.put(GVR.pods, samplePod("web", { nodeName: "n1" }));
  await until(() => world.generation() === 1, "generation 1");
  kube.put(GVR.pods, { ...pod, status: { phase: "Running" } });
  await settle();
  assertEquals(world.generation(), 1);
  kube.put(GVR.pods, { ...pod, status: { phase: "Failed" } });
  await settle();
  assertEquals(world.generation(), 1);
  assertEquals(world.projector.projection("n1").items.get("pods/default/web")?.object.status, {
    phase: "Failed",
  });
});

Deno.test("a changed ConfigMap reaches the nodes whose pods name it, and only those", async () => {
  await using world = await new World().start();
  const { kube } = world;
  const uses = { volumes: [{ name: "v", configMap: { name: "settings" } }] };
  kube.put(GVR.pods, samplePod("a", { nodeName: "n1", ...uses }));
  kube.put(GVR.pods, samplePod("b", { nodeName: "n2" }));
  await until(() => world.generation("n1") === 1 && world.generation("n2") === 1, "both");
  kube.put(GVR.configmaps, sampleConfigMap("settings", { a: "1" }));
  await until(() => world.generation("n1") === 2, "n1 to follow");
  kube.remove(GVR.configmaps, "default", "settings");
  await until(() => world.generation("n1") === 3, "n1 to follow");
  assertEquals(world.generation("n2"), 1);
});

Deno.test("one changed pod among a thousand costs one digest", async () => {
  await using world = await new World().start();
  const { kube, projector } = world;
  for (let i = 0; i < 1000; i++) kube.put(GVR.pods, samplePod(`p${i}`, { nodeName: "n1" }));
  await until(() => projector.projection("n1").items.size === 1000, "all pods");
  const before = projector.digests;
  kube.put(GVR.pods, samplePod("p500", { nodeName: "n1", restartPolicy: "Never" }));
  const generation = world.generation();
  await until(() => world.generation() === generation + 1, "the change");
  assertEquals(projector.digests - before, 1);
});

Deno.test("after a restart the same content has its generation, other the next", async () => {
  const kube = new MemoryKube();
  const store = new MemoryStore();
  let cloudId = "";
  {
    await using world = await new World(kube, store).start();
    cloudId = world.projector.cloudId;
    kube.put(GVR.pods, samplePod("web", { nodeName: "n1" }));
    kube.put(GVR.pods, samplePod("db", { nodeName: "n2" }));
    await until(() => world.generation("n1") === 1 && world.generation("n2") === 1, "both");
    await world.projector.acknowledged("n1", 1);
  }
  kube.remove(GVR.pods, "default", "db"); // while the cloud is down
  await using world = await new World(kube, store).start();
  assertEquals(world.projector.cloudId, cloudId);
  assertEquals(world.generation("n1"), 1);
  assertEquals(world.projector.acknowledgedGeneration("n1"), 1);
  assertEquals(world.generation("n2"), 2);
  assertEquals(world.projector.projection("n2").items.size, 0);
});

Deno.test("nothing is served before the caches hold their first list", () => {
  const world = new World();
  assertThrows(() => world.projector.projection("n1"), AppError, "caches are still loading");
});

Deno.test("a generation is visible once it is durable; a refused commit is retried", async () => {
  await using world = await new World().start();
  const { kube, store, clock } = world;
  store.failNext(new AppError("exhausted", "disk full"));
  kube.put(GVR.pods, samplePod("web", { nodeName: "n1" }));
  await until(() => clock.pending === 1, "the retry to wait");
  assertEquals(world.generation(), 0);
  await clock.advance(1_000);
  await until(() => world.generation() === 1, "generation 1");
});

Deno.test("a higher generation that a node holds from elsewhere is passed for good", async () => {
  const kube = new MemoryKube();
  const store = new MemoryStore();
  {
    await using world = await new World(kube, store).start();
    kube.put(GVR.pods, samplePod("web", { nodeName: "n1" }));
    await until(() => world.generation() === 1, "generation 1");
    let calls = 0;
    world.projector.subscribe("n1", () => calls++);
    await world.projector.advance("n1", 41);
    await until(() => world.generation() === 42, "generation 42");
    assertEquals([calls, world.projector.projection("n1").items.size], [1, 1]);
    await world.projector.advance("n1", 41); // asked again: passed already
    await world.projector.advance("n2", 6); // a node this store never had anything for
    await until(() => world.generation("n2") === 7, "generation 7");
    await settle();
    assertEquals(world.generation(), 42);
  }
  await using world = await new World(kube, store).start();
  assertEquals([world.generation("n1"), world.generation("n2")], [42, 7]);
});

Deno.test("a pod recreated under the same name is another item", async () => {
  await using world = await new World().start();
  const { kube } = world;
  kube.put(GVR.pods, samplePod("web", { nodeName: "n1" }, { metadata: { uid: "u1" } }));
  await until(() => world.generation() === 1, "the first");
  kube.remove(GVR.pods, "default", "web");
  kube.put(GVR.pods, samplePod("web", { nodeName: "n1" }, { metadata: { uid: "u2" } }));
  await until(
    () => world.projector.projection("n1").items.get("pods/default/web")?.uid === "u2",
    "u2",
  );
});

Deno.test("an acknowledgement never goes back and never runs ahead", async () => {
  await using world = await new World().start();
  world.kube.put(GVR.pods, samplePod("web", { nodeName: "n1" }));
  await until(() => world.generation() === 1, "generation 1");
  await world.projector.acknowledged("n1", 1);
  await world.projector.acknowledged("n1", 0);
  assertEquals(world.projector.acknowledgedGeneration("n1"), 1);
  let code = "";
  await world.projector.acknowledged("n1", 2).catch((error: AppError) => code = error.code);
  assertEquals(code, "invalid");
});
