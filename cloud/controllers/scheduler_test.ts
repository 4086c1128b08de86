import { assertEquals } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Event, Node, Pod } from "../../shared/k8s/types.ts";
import { SeededRandom } from "../../shared/random.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { Scheduler } from "./scheduler.ts";
import { MemoryKube } from "./testing/memory_kube.ts";
import { sampleNode, samplePod } from "./testing/samples.ts";
import { settle, until } from "./testing/until.ts";

function startWorld() {
  const kube = new MemoryKube();
  const clock = new SimClock();
  const pods = kube.cache<Pod>(GVR.pods);
  const nodes = kube.cache<Node>(GVR.nodes);
  const scheduler = new Scheduler({ kube, pods, nodes, clock, random: new SeededRandom(1) });
  const scope = new TaskScope();
  scope.spawn("pods", (signal) => pods.run(signal));
  scope.spawn("nodes", (signal) => nodes.run(signal));
  scope.spawn("scheduler", (signal) => scheduler.run(signal));
  const pod = (name: string) => kube.peek<Pod>(GVR.pods, "default", name);
  const events = () => kube.all<Event>(GVR.events).map((e) => `${e.reason}: ${e.message}`);
  return {
    kube,
    clock,
    pod,
    events,
    [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
  };
}

Deno.test("a pending pod is bound, and an event says where", async () => {
  await using world = startWorld();
  world.kube.put(GVR.nodes, sampleNode("n1"));
  world.kube.put(GVR.pods, samplePod("web"));
  await until(() => world.pod("web")?.spec.nodeName === "n1", "the binding");
  await until(() => world.events().length > 0, "the event");
  assertEquals(world.events(), ["Scheduled: Successfully assigned default/web to n1"]);
});

Deno.test("a pod without a place says so once, and is placed when a node comes", async () => {
  await using world = startWorld();
  world.kube.put(GVR.nodes, sampleNode("n1", { spec: { unschedulable: true } }));
  world.kube.put(GVR.pods, samplePod("web"));
  await until(() => world.events().length === 1, "the event");
  const condition = world.pod("web")?.status?.conditions?.[0];
  assertEquals(condition?.reason, "Unschedulable");
  assertEquals(
    condition?.message,
    "0/1 nodes are available: 1 node(s) were unschedulable.",
  );
  world.kube.put(GVR.nodes, sampleNode("n1", { spec: { unschedulable: true, podCIDR: "x" } }));
  await settle();
  assertEquals(world.events().length, 1);
  world.kube.put(GVR.nodes, sampleNode("n2"));
  await until(() => world.pod("web")?.spec.nodeName === "n2", "the binding");
});

Deno.test("pods of other schedulers, gated or ending ones are left alone", async () => {
  await using world = startWorld();
  world.kube.put(GVR.nodes, sampleNode("n1"));
  world.kube.put(GVR.pods, samplePod("theirs", { schedulerName: "other" }));
  const gated = samplePod("gated");
  world.kube.put(GVR.pods, { ...gated, spec: { ...gated.spec, schedulingGates: [{}] } } as Pod);
  const deletionTimestamp = "2026-01-01T00:00:00Z";
  world.kube.put(GVR.pods, samplePod("going", {}, { metadata: { deletionTimestamp } }));
  await settle();
  assertEquals(world.kube.calls, []);
});

Deno.test("a burst of pods never overfills a node", async () => {
  await using world = startWorld();
  const node = sampleNode("n1");
  node.status!.allocatable!.pods = "10";
  world.kube.put(GVR.nodes, node);
  for (let i = 0; i < 15; i++) world.kube.put(GVR.pods, samplePod(`p${i}`));
  const bound = () => world.kube.all<Pod>(GVR.pods).filter((p) => p.spec.nodeName).length;
  await until(() => world.events().length === 15, "all decided");
  assertEquals(bound(), 10);
  const first = world.kube.all<Pod>(GVR.pods).find((p) => p.spec.nodeName)!;
  world.kube.put(GVR.pods, { ...first, status: { phase: "Succeeded" } });
  await until(() => bound() === 11, "the freed place to be taken");
});

Deno.test("a failed binding is tried again after a while", async () => {
  await using world = startWorld();
  let isDown = true;
  world.kube.onWrite = (call) => {
    if (isDown && call.subresource === "binding") throw new AppError("unavailable", "API is away");
  };
  world.kube.put(GVR.nodes, sampleNode("n1"));
  world.kube.put(GVR.pods, samplePod("web"));
  await until(() => world.clock.pending === 1, "the retry to wait");
  isDown = false;
  await world.clock.advance(1_000);
  await until(() => world.pod("web")?.spec.nodeName === "n1", "the binding");
});

Deno.test("the pod of higher priority gets the last place", async () => {
  await using world = startWorld();
  world.kube.put(GVR.pods, samplePod("low", { priority: 0 }));
  world.kube.put(GVR.pods, samplePod("high", { priority: 1000 }));
  await until(() => world.events().length === 2, "both to wait");
  const node = sampleNode("n1");
  node.status!.allocatable!.pods = "1";
  world.kube.put(GVR.nodes, node);
  await until(() => world.pod("high")?.spec.nodeName === "n1", "the binding");
  assertEquals(world.pod("low")?.spec.nodeName, undefined);
});
