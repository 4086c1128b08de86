import { assertEquals } from "@std/assert";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { ImagePrePullJob, PrePullNode, PrePullTemplate } from "../../shared/k8s/prepull.ts";
import type { Node } from "../../shared/k8s/types.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { planPrePull, withResult } from "./plan_prepull.ts";
import { PrePullIndex } from "./prepull_index.ts";
import { PrePullJobs } from "./prepull_jobs.ts";
import { projectNode, travelForm } from "./project_node.ts";
import { MemoryKube } from "./testing/memory_kube.ts";
import { sampleNode } from "./testing/samples.ts";
import { until } from "./testing/until.ts";

const SIGNAL = new AbortController().signal;
const EDGE = { annotations: { "skerry.dev/agent": "edge" } };
const START_MS = Date.UTC(2026, 0, 1);
const STARTED = [{ action: "Init", status: "True", time: "2026-01-01T00:00:00Z" }] as const;

function job(template: PrePullTemplate, nodeStatus?: PrePullNode[]): ImagePrePullJob {
  return {
    metadata: { name: "early", uid: "u1" },
    spec: { imagePrePullTemplate: { images: ["a:1", "b:1"], ...template } },
    ...(nodeStatus ? { status: { phase: "InProgress", nodeStatus } } : {}),
  };
}

function world(...names: string[]) {
  const nodes = new Map(names.map((name) => {
    const labels = { zone: name.slice(0, 1) };
    return [name, sampleNode(name, { metadata: { name, labels, ...EDGE } })] as const;
  }));
  return { get: (name: string) => nodes.get(name), list: () => nodes.values() };
}

function phases(plan: { status?: { nodeStatus?: PrePullNode[] } }): string {
  return (plan.status?.nodeStatus ?? []).map((n) => `${n.nodeName} ${n.phase}`).join(", ");
}

function at(nodeName: string, phase: PrePullNode["phase"]): PrePullNode {
  return { nodeName, phase, ...(phase === "InProgress" ? { actionFlow: [...STARTED] } : {}) };
}

Deno.test("planPrePull() chooses by names or labels, and starts as many as it may", () => {
  const named = planPrePull(job({ nodeNames: ["b1", "a1"] }), world("a1", "b1"), START_MS);
  assertEquals(phases(named), "b1 InProgress, a1 Pending");
  assertEquals(named.wakeAtMs, START_MS + 300_000);
  const labelled = job({ labelSelector: { matchLabels: { zone: "a" } }, concurrency: 2 });
  const plan = planPrePull(labelled, world("a2", "b1", "a1", "a3"), START_MS);
  assertEquals(phases(plan), "a1 InProgress, a2 InProgress, a3 Pending");
  const none = planPrePull(job({ labelSelector: { matchLabels: { zone: "x" } } }), world("a1"), 0);
  assertEquals([none.status?.phase, none.status?.reason], ["Failure", "no node matches"]);
});

Deno.test("planPrePull() fails who is late or gone, and goes on as far as the job bears it", () => {
  const states = [at("a1", "InProgress"), at("a2", "Pending"), at("a3", "Pending")];
  const nodes = world("a1", "a3");
  const early = planPrePull(job({ failureTolerate: "1" }, states), nodes, START_MS + 299_000);
  assertEquals(phases(early), "a1 InProgress, a2 Failure, a3 Pending");
  const late = planPrePull(job({ failureTolerate: "1" }, states), nodes, START_MS + 300_000);
  assertEquals(phases(late), "a1 Failure, a2 Failure, a3 InProgress");
  assertEquals(late.status?.nodeStatus?.[0]?.reason, "timed out: not done within 300 s");
  const strict = planPrePull(job({ failureTolerate: "0.1" }, states), nodes, START_MS + 300_000);
  assertEquals(phases(strict), "a1 Failure, a2 Failure, a3 Pending");
  assertEquals(
    [strict.status?.phase, strict.status?.reason],
    ["Failure", "2 of 3 nodes failed"],
  );
});

Deno.test("planPrePull() says nothing new of a job that waits or is over", () => {
  const waiting = job({ concurrency: 1 }, [at("a1", "InProgress"), at("a2", "Pending")]);
  assertEquals(planPrePull(waiting, world("a1", "a2"), START_MS), { wakeAtMs: START_MS + 300_000 });
  const done = job({}, [at("a1", "Successful")]);
  assertEquals(planPrePull(done, world("a1"), START_MS).status?.phase, "Completed");
  const over = { ...done, status: { ...done.status, phase: "Completed" as const } };
  assertEquals(planPrePull(over, world(), START_MS), {});
});

Deno.test("withResult() takes the word of a node at work about the job's own images", () => {
  const states = [at("a1", "InProgress"), at("a2", "Pending")];
  const told = withResult(job({}, states), "a1", {
    images: [{ image: "a:1", status: "True" }, { image: "x:1", status: "True" }],
  }, START_MS);
  const [node] = "status" in told ? told.status.nodeStatus ?? [] : [];
  assertEquals(node?.imageStatus, [
    { image: "a:1", status: "True" },
    { image: "b:1", status: "Unknown" },
  ]);
  assertEquals([node?.phase, node?.reason], ["Failure", "cannot pull b:1"]);
  const refused = withResult(job({}, states), "a1", { refusal: "disk is full", images: [] }, 0);
  assertEquals("status" in refused && refused.status.nodeStatus?.[0]?.reason, "disk is full");
  const early = withResult(job({}, states), "a2", { images: [] }, 0);
  assertEquals(early, { refusal: "node is Pending already" });
  assertEquals(withResult(job({}, states), "a9", { images: [] }, 0), {
    refusal: "job is not for this node",
  });
});

Deno.test("a node holds a job, without the other nodes, and its secret while it is at work", () => {
  const index = new PrePullIndex();
  const atWork = job({ nodeNames: ["a1"], imageSecrets: "keys/reg" }, [at("a1", "InProgress")]);
  assertEquals(index.apply({ before: undefined, after: atWork }), ["a1"]);
  assertEquals(index.usersOf("secrets/keys/reg"), ["a1"]);
  const secret = { metadata: { namespace: "keys", name: "reg" } };
  const items = projectNode({
    node: undefined,
    pods: [],
    prePulls: index.jobsOf("a1"),
    find: (key) => key === "secrets/keys/reg" ? secret : undefined,
    item: (key, object) => ({ key, uid: "", resourceVersion: "", object: travelForm(key, object) }),
  });
  assertEquals([...items.keys()], [
    "imageprepulljobs.operations.kubeedge.io//early",
    "secrets/keys/reg",
  ]);
  assertEquals([...items.values()][0]?.object, {
    apiVersion: "operations.kubeedge.io/v1alpha2",
    kind: "ImagePrePullJob",
    metadata: { name: "early", uid: "u1" },
    spec: { imagePrePullTemplate: { images: ["a:1", "b:1"], imageSecrets: "keys/reg" } },
  });
  const done = { ...atWork, status: { nodeStatus: [at("a1", "Successful")] } };
  assertEquals(index.apply({ before: atWork, after: done }), ["a1"]);
  assertEquals([...index.jobsOf("a1")], []);
});

Deno.test("a job goes from node to node with their reports, to its end", async () => {
  const kube = new MemoryKube();
  const clock = new SimClock();
  const jobs = kube.cache<ImagePrePullJob>(GVR.imagePrePullJobs);
  const nodes = kube.cache<Node>(GVR.nodes);
  const controller = new PrePullJobs({ kube, jobs, nodes, clock });
  await using scope = new TaskScope();
  for (const name of ["a1", "a2"]) {
    kube.put(GVR.nodes, sampleNode(name, { metadata: { name, ...EDGE } }));
  }
  kube.put(GVR.imagePrePullJobs, job({ nodeNames: ["a1", "a2"] }));
  scope.spawn("jobs", (signal) => jobs.run(signal));
  scope.spawn("nodes", (signal) => nodes.run(signal));
  scope.spawn("controller", (signal) => controller.run(signal));
  const stored = () => kube.peek<ImagePrePullJob>(GVR.imagePrePullJobs, "", "early");
  const isAtWork = (i: number) => stored()?.status?.nodeStatus?.[i]?.phase === "InProgress";
  const images = ["a:1", "b:1"].map((image) => ({ image, status: "True" as const }));
  const report = { job: { name: "early", uid: "u1" }, result: { images } };
  await until(() => isAtWork(0), "the first node at work");
  assertEquals(await controller.apply("a2", report, SIGNAL), {
    kind: "dropped",
    reason: "node is Pending already",
  });
  assertEquals(await controller.apply("a1", report, SIGNAL), { kind: "applied" });
  await until(() => isAtWork(1), "the second node at work");
  const other = { ...report, job: { name: "early", uid: "u9" } };
  assertEquals((await controller.apply("a2", other, SIGNAL)).kind, "dropped");
  assertEquals(await controller.apply("a2", report, SIGNAL), { kind: "applied" });
  await until(() => stored()?.status?.phase === "Completed", "the job done");
});
