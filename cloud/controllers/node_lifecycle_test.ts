import { assertEquals, assertStringIncludes } from "@std/assert";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Lease, Node } from "../../shared/k8s/types.ts";
import { SeededRandom } from "../../shared/random.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { EventRecorder } from "./events.ts";
import { LeaseKeeper } from "./leases.ts";
import { NodeLifecycle } from "./node_lifecycle.ts";
import { AGENT_ANNOTATION } from "./node_report.ts";
import { MemoryKube } from "./testing/memory_kube.ts";
import { sampleNode } from "./testing/samples.ts";
import { FakeSessions } from "./testing/sessions.ts";
import { settle, until } from "./testing/until.ts";

function startWorld() {
  const kube = new MemoryKube();
  const clock = new SimClock();
  const sessions = new FakeSessions();
  const nodes = kube.cache<Node>(GVR.nodes);
  const events = new EventRecorder(kube, clock, new SeededRandom(1), "node-controller");
  const common = { kube, nodes, sessions, events, clock };
  const lifecycle = new NodeLifecycle({ ...common, nodeGraceMs: 10_000, startGraceMs: 40_000 });
  const leases = new LeaseKeeper({ ...common, leaseRenewMs: 10_000 });
  const scope = new TaskScope();
  scope.spawn("nodes", (signal) => nodes.run(signal));
  scope.spawn("lifecycle", (signal) => lifecycle.run(signal));
  scope.spawn("leases", (signal) => leases.run(signal));
  const node = (name = "n1") => kube.peek<Node>(GVR.nodes, "", name);
  return {
    kube,
    clock,
    sessions,
    node,
    ready: (name = "n1") => node(name)?.status?.conditions?.find((c) => c.type === "Ready"),
    taints: () => (node()?.spec?.taints ?? []).map((taint) => taint.key),
    lease: () => kube.peek<Lease>(GVR.leases, "kube-node-lease", "n1"),
    [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
  };
}

function edgeNode(name = "n1"): Node {
  return sampleNode(name, { metadata: { name, annotations: { [AGENT_ANNOTATION]: "edge" } } });
}

Deno.test("a node whose session ended is Unknown after the grace, and tainted", async () => {
  await using world = startWorld();
  world.kube.put(GVR.nodes, edgeNode());
  world.sessions.open("n1");
  await settle();
  world.sessions.close("n1");
  await settle();
  await world.clock.advance(9_000);
  await settle();
  assertEquals(world.ready()?.status, "True");
  await world.clock.advance(1_000);
  await until(() => world.taints().length > 0, "the taint");
  assertEquals(world.ready()?.status, "Unknown");
  assertEquals(world.ready()?.reason, "NodeStatusUnknown");
  assertStringIncludes(world.ready()?.message ?? "", "192.0.2.7:4711");
  assertStringIncludes(world.ready()?.message ?? "", "down since 2026-01-01T00:00:00Z");
  assertEquals(world.taints(), ["node.kubernetes.io/unreachable"]);
});

Deno.test("a session that returns within the grace changes nothing", async () => {
  await using world = startWorld();
  world.kube.put(GVR.nodes, edgeNode());
  world.sessions.open("n1");
  await settle();
  world.sessions.close("n1");
  await settle();
  await world.clock.advance(9_000);
  world.sessions.open("n1");
  await settle();
  await world.clock.advance(60_000);
  await settle();
  assertEquals(world.ready()?.status, "True");
  assertEquals(world.taints(), []);
});

Deno.test("the node's own report makes it Ready again; then the taint goes", async () => {
  await using world = startWorld();
  world.kube.put(GVR.nodes, edgeNode());
  await settle();
  await world.clock.advance(40_000);
  await until(() => world.taints().length > 0, "the taint");
  world.sessions.open("n1");
  await settle();
  assertEquals(world.ready()?.status, "Unknown"); // nothing is claimed in the node's name
  const stored = world.node()!;
  world.kube.put(GVR.nodes, { ...stored, status: edgeNode().status! });
  await until(() => world.taints().length === 0, "the taint to go");
  assertEquals(world.ready()?.status, "True");
});

Deno.test("after a start of the cloud nodes have the longer grace", async () => {
  await using world = startWorld();
  world.kube.put(GVR.nodes, edgeNode());
  await settle();
  await world.clock.advance(39_000);
  await settle();
  assertEquals(world.ready()?.status, "True");
  await world.clock.advance(1_000);
  await until(() => world.ready()?.status === "Unknown", "Unknown");
});

Deno.test("nodes of other agents are left alone", async () => {
  await using world = startWorld();
  world.kube.put(GVR.nodes, sampleNode("n1"));
  await settle();
  await world.clock.advance(100_000);
  await settle();
  assertEquals(world.kube.calls, []);
});

Deno.test("a report that comes late does not make an absent node Ready for long", async () => {
  await using world = startWorld();
  world.kube.put(GVR.nodes, edgeNode());
  await settle();
  await world.clock.advance(40_000);
  await until(() => world.ready()?.status === "Unknown", "Unknown");
  world.kube.put(GVR.nodes, edgeNode());
  await until(() => world.ready()?.status === "Unknown", "Unknown again");
});

Deno.test("a lease comes with the session and is renewed as long as that lives", async () => {
  await using world = startWorld();
  world.kube.put(GVR.nodes, edgeNode());
  world.sessions.open("n1");
  await until(() => world.lease() !== undefined, "the lease");
  assertEquals(world.lease()?.spec?.renewTime, "2026-01-01T00:00:00.000000Z");
  assertEquals(world.lease()?.metadata.ownerReferences?.[0]?.uid, world.node()?.metadata.uid);
  await settle();
  await world.clock.advance(10_000);
  await until(() => world.lease()?.spec?.renewTime === "2026-01-01T00:00:10.000000Z", "renewal");
  world.sessions.close("n1");
  await settle();
  await world.clock.advance(30_000);
  await settle();
  assertEquals(world.lease()?.spec?.renewTime, "2026-01-01T00:00:10.000000Z");
});

Deno.test("a live node under pressure is tainted, until the pressure is over", async () => {
  await using world = startWorld();
  const short = (status: "True" | "False") => {
    const node = edgeNode();
    const others = (node.status?.conditions ?? []).filter((c) => c.type !== "DiskPressure");
    const conditions = [...others, { type: "DiskPressure", status }];
    const spec = world.node()?.spec ?? node.spec ?? {};
    return { ...node, spec, status: { ...node.status, conditions } };
  };
  world.sessions.open("n1");
  world.kube.put(GVR.nodes, short("True"));
  await until(() => world.taints().includes("node.kubernetes.io/disk-pressure"), "the taint");
  assertEquals(world.ready()?.status, "True");
  world.kube.put(GVR.nodes, short("False"));
  await until(() => world.taints().length === 0, "the taint's end");
});
