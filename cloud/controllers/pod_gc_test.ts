import { assertEquals } from "@std/assert";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Node, Pod } from "../../shared/k8s/types.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { planPodGc, PodGc, type PodGcWorld } from "./pod_gc.ts";
import { MemoryKube } from "./testing/memory_kube.ts";
import { sampleNode, samplePod } from "./testing/samples.ts";
import { settle, until } from "./testing/until.ts";

const BOUNDS = { quarantineMs: 40_000, terminatedPodsMax: 2, terminatingPodsMax: 2 };
const DELETED = { metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } };

function plan(pods: Pod[], nodes: Node[] = [], more: Partial<PodGcWorld> = {}) {
  const { orphans, removals } = planPodGc({
    pods,
    node: (name) => nodes.find((node) => node.metadata.name === name),
    isLive: () => false,
    missingSinceMs: new Map([["gone", 0]]),
    monotonicMs: 40_000,
    ...more,
  }, BOUNDS);
  return [orphans, removals].map((list) => list.map((pod) => pod.metadata.name));
}

Deno.test("planPodGc() takes pods of missing nodes only after the quarantine", () => {
  const pods = [
    samplePod("a", { nodeName: "gone" }),
    samplePod("b", { nodeName: "new" }),
    samplePod("c", { nodeName: "n1" }),
    samplePod("d"),
  ];
  assertEquals(plan(pods, [sampleNode("n1")]), [["a"], []]);
});

Deno.test("planPodGc() keeps pods of a node with a session, whatever became of its object", () => {
  assertEquals(plan([samplePod("a", { nodeName: "gone" })], [], { isLive: () => true }), [[], []]);
});

Deno.test("planPodGc() keeps pods of a node whose object a damaged store may have lost", () => {
  const mayBeLost = () => true;
  assertEquals(plan([samplePod("a", { nodeName: "gone" })], [], { mayBeLost }), [[], []]);
});

Deno.test("planPodGc() removes deleted pods that never got a node", () => {
  assertEquals(plan([samplePod("a", {}, DELETED)]), [[], ["a"]]);
});

Deno.test("planPodGc() removes deleted pods of nodes out of service, and only of those", () => {
  const away = sampleNode("away", {
    status: { conditions: [{ type: "Ready", status: "Unknown" }] },
  });
  const retired = sampleNode("retired", {
    spec: { taints: [{ key: "node.kubernetes.io/out-of-service", effect: "NoExecute" }] },
    status: { conditions: [{ type: "Ready", status: "Unknown" }] },
  });
  const pods = [
    samplePod("a", { nodeName: "away" }, DELETED),
    samplePod("b", { nodeName: "retired" }, DELETED),
    samplePod("c", { nodeName: "retired" }),
  ];
  assertEquals(plan(pods, [away, retired]), [[], ["b"]]);
});

Deno.test("planPodGc() bounds what deletions leave waiting for a node that is away", () => {
  const deleted = (name: string, deletionTimestamp: string) =>
    samplePod(name, { nodeName: "away" }, { metadata: { deletionTimestamp } });
  const pods = [
    deleted("new", "2026-01-03T00:00:00Z"),
    deleted("old", "2026-01-01T00:00:00Z"),
    deleted("mid", "2026-01-02T00:00:00Z"),
    samplePod("running", { nodeName: "away" }),
  ];
  assertEquals(plan(pods, [sampleNode("away")]), [[], ["old"]]);
  assertEquals(plan(pods, [sampleNode("away")], { isLive: () => true }), [[], []]);
});

Deno.test("planPodGc() removes the oldest ended pods above the bound", () => {
  const ended = (name: string, creationTimestamp: string) =>
    samplePod(name, { nodeName: "n1" }, {
      metadata: { creationTimestamp },
      status: { phase: "Succeeded" },
    });
  const pods = [ended("new", "2026-01-03"), ended("old", "2026-01-01"), ended("mid", "2026-01-02")];
  assertEquals(plan(pods, [sampleNode("n1")]), [[], ["old"]]);
});

Deno.test("PodGc removes orphans, but asks again whether the node is gone", async () => {
  const kube = new MemoryKube();
  const clock = new SimClock();
  const pods = kube.cache<Pod>(GVR.pods);
  const nodes = kube.cache<Node>(GVR.nodes);
  await using scope = new TaskScope();
  scope.spawn("pods", (signal) => pods.run(signal));
  scope.spawn("nodes", (signal) => nodes.run(signal));
  const gc = new PodGc({ kube, pods, nodes, clock, isLive: () => false, ...BOUNDS });
  scope.spawn("gc", (signal) => gc.run(signal));
  kube.put(GVR.pods, samplePod("web", { nodeName: "gone" }));
  for (let beat = 0; beat < 4; beat++) {
    await settle();
    await clock.advance(20_000);
  }
  await until(() => kube.all(GVR.pods).length === 0, "the orphan to go");
  assertEquals(kube.calls.map((call) => call.verb), ["update", "delete"]);
});
