import { assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Event, Node, Pod, PodStatus } from "../../shared/k8s/types.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import type { Report } from "../../shared/wire/report.ts";
import type { Device } from "../../shared/k8s/devices.ts";
import { DeviceReports } from "./device_reports.ts";
import { KubeReportSink } from "./report_sink.ts";
import { MirrorPods } from "./mirror_pods.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { SiteIntents } from "./site_intents.ts";
import { MemoryKube } from "./testing/memory_kube.ts";
import { sampleNode, samplePod } from "./testing/samples.ts";
import { until } from "./testing/until.ts";

const SIGNAL = new AbortController().signal;
const RUNNING: PodStatus = {
  phase: "Running",
  conditions: [{ type: "Ready", status: "True" }],
};

function startWorld() {
  const kube = new MemoryKube();
  const pods = kube.cache<Pod>(GVR.pods);
  const nodes = kube.cache<Node>(GVR.nodes);
  const scope = new TaskScope();
  scope.spawn("pods", (signal) => pods.run(signal));
  scope.spawn("nodes", (signal) => nodes.run(signal));
  const intents = new SiteIntents({ kube, clock: new SimClock() });
  const deviceReports = new DeviceReports({ kube, devices: kube.cache<Device>(GVR.devices) });
  const mirrors = new MirrorPods({ kube, pods, nodes, clock: new SimClock() });
  scope.spawn("mirrors", (signal) => mirrors.run(signal));
  const sink = new KubeReportSink({ kube, pods, nodes, intents, mirrors, deviceReports });
  return {
    kube,
    apply: (report: Report, node = "n1") => sink.apply(node, report, SIGNAL),
    pod: (name = "web") => kube.peek<Pod>(GVR.pods, "default", name),
    node: (name = "n1") => kube.peek<Node>(GVR.nodes, "", name),
    [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
  };
}

function ref(uid = "u1", name = "web") {
  return { namespace: "default", name, uid };
}

function boundPod(more: Partial<Pod> = {}): Pod {
  return samplePod("web", { nodeName: "n1" }, {
    ...more,
    metadata: { uid: "u1", ...more.metadata },
  });
}

Deno.test("pod_status is written, and conditions of others stay", async () => {
  await using world = startWorld();
  const scheduled = { type: "PodScheduled", status: "True" as const };
  world.kube.put(
    GVR.pods,
    boundPod({ status: { qosClass: "Burstable", message: "old", conditions: [scheduled] } }),
  );
  const report: Report = { kind: "pod_status", pod: ref(), status: RUNNING };
  assertEquals(await world.apply(report), { kind: "applied" });
  assertEquals(world.pod()?.status, {
    qosClass: "Burstable",
    phase: "Running",
    conditions: [scheduled, { type: "Ready", status: "True" }],
  });
});

Deno.test("pod_status that changes nothing is applied without a write", async () => {
  await using world = startWorld();
  world.kube.put(GVR.pods, boundPod({ status: RUNNING }));
  await world.apply({ kind: "pod_status", pod: ref(), status: RUNNING });
  assertEquals(world.kube.calls, []);
});

Deno.test("pod_status of another node, another uid or a missing pod is dropped", async () => {
  await using world = startWorld();
  world.kube.put(GVR.pods, boundPod());
  const report: Report = { kind: "pod_status", pod: ref(), status: RUNNING };
  assertEquals(await world.apply(report, "n2"), {
    kind: "dropped",
    reason: "pod is not bound to this node",
  });
  assertEquals(await world.apply({ ...report, pod: ref("u2") }), {
    kind: "dropped",
    reason: "pod was recreated under another uid",
  });
  assertEquals((await world.apply({ ...report, pod: ref("u1", "none") })).kind, "dropped");
  assertEquals(world.pod()?.status, undefined);
});

Deno.test("pod_status is decided again after a conflict, keeping the other's change", async () => {
  await using world = startWorld();
  world.kube.put(GVR.pods, boundPod());
  let isFirst = true;
  world.kube.onWrite = () => {
    if (!isFirst) return;
    isFirst = false;
    const metadata = { uid: "u1", deletionTimestamp: "2026-01-01T00:00:30Z" };
    world.kube.put(GVR.pods, boundPod({ metadata })); // deleted by a user meanwhile
  };
  await world.apply({ kind: "pod_status", pod: ref(), status: RUNNING });
  assertEquals(world.pod()?.status?.phase, "Running");
  assertEquals(world.pod()?.metadata.deletionTimestamp, "2026-01-01T00:00:30Z");
});

Deno.test("an API that is away makes the report worth another try", async () => {
  await using world = startWorld();
  world.kube.put(GVR.pods, boundPod());
  world.kube.onWrite = () => {
    throw new AppError("exhausted", "disk full");
  };
  const error = await assertRejects(
    () => world.apply({ kind: "pod_status", pod: ref(), status: RUNNING }),
    AppError,
  );
  assertEquals(error.code, "unavailable");
});

Deno.test("pod_gone removes a pod that is being deleted, and nothing else", async () => {
  await using world = startWorld();
  world.kube.put(GVR.pods, boundPod());
  assertEquals(await world.apply({ kind: "pod_gone", pod: ref() }), {
    kind: "dropped",
    reason: "pod is not being deleted",
  });
  const metadata = { uid: "u1", deletionTimestamp: "2026-01-01T00:00:30Z" };
  world.kube.put(GVR.pods, boundPod({ metadata }));
  assertEquals((await world.apply({ kind: "pod_gone", pod: ref() }, "n2")).kind, "dropped");
  assertEquals((await world.apply({ kind: "pod_gone", pod: ref("u0") })).kind, "dropped");
  assertEquals(await world.apply({ kind: "pod_gone", pod: ref() }), { kind: "applied" });
  assertEquals(world.pod(), undefined);
  assertEquals((await world.apply({ kind: "pod_gone", pod: ref() })).kind, "dropped");
});

function reportedNode(name = "n1", labels: Record<string, string> = {}): Node {
  return sampleNode(name, {
    metadata: { name, labels: { "kubernetes.io/arch": "amd64", ...labels } },
    spec: { taints: [{ key: "site", effect: "NoSchedule" }] },
  });
}

Deno.test("a node registers with its labels and taints, without those it may not set", async () => {
  await using world = startWorld();
  const node = reportedNode("n1", {
    "site": "plant-7",
    "node-role.kubernetes.io/edge": "",
    "node-role.kubernetes.io/control-plane": "",
    "node-restriction.kubernetes.io/tier": "1",
    "x.node-restriction.kubernetes.io/tier": "1",
  });
  assertEquals(await world.apply({ kind: "node", node }), { kind: "applied" });
  assertEquals(world.node()?.metadata.labels, {
    "kubernetes.io/arch": "amd64",
    "site": "plant-7",
    "node-role.kubernetes.io/edge": "",
  });
  assertEquals(world.node()?.spec?.taints, [{ key: "site", effect: "NoSchedule" }]);
  assertEquals(world.node()?.status?.conditions?.[0]?.status, "True");
});

Deno.test("later reports change status and facts, not what people set since", async () => {
  await using world = startWorld();
  await world.apply({ kind: "node", node: reportedNode("n1", { site: "plant-7" }) });
  const stored = world.node()!;
  world.kube.put(GVR.nodes, {
    ...stored,
    metadata: { ...stored.metadata, labels: { site: "moved", "kubernetes.io/arch": "amd64" } },
    spec: {},
    status: {
      ...stored.status,
      conditions: [
        { type: "NetworkUnavailable", status: "False" },
        { type: "Ready", status: "Unknown" },
      ],
    },
  });
  const again = reportedNode("n1", { site: "plant-7", "kubernetes.io/arch": "arm64" });
  await world.apply({ kind: "node", node: again });
  assertEquals(world.node()?.metadata.labels, { site: "moved", "kubernetes.io/arch": "arm64" });
  assertEquals(world.node()?.spec, {});
  assertEquals(world.node()?.status?.conditions?.map((c) => `${c.type}=${c.status}`), [
    "NetworkUnavailable=False",
    "Ready=True",
  ]);
  const before = world.kube.calls.length;
  await world.apply({ kind: "node", node: again });
  assertEquals(world.kube.calls.length, before);
});

Deno.test("a node cannot report another node", async () => {
  await using world = startWorld();
  assertEquals(await world.apply({ kind: "node", node: reportedNode("n2") }), {
    kind: "dropped",
    reason: "a node reports only itself",
  });
  assertEquals(world.node("n2"), undefined);
});

function event(involvedObject: Event["involvedObject"], more: Partial<Event> = {}): Report {
  const event: Event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: "web.1", namespace: "default" },
    involvedObject,
    reason: "Pulled",
    message: "m",
    type: "Normal",
    source: { component: "kubelet", host: "somebody-else" },
    ...more,
  };
  return { kind: "event", event };
}

const ABOUT_POD = { kind: "Pod", namespace: "default", name: "web", uid: "u1" };

Deno.test("an event is created in the node's name, then only counted up", async () => {
  await using world = startWorld();
  world.kube.put(GVR.pods, boundPod());
  const stored = () => world.kube.peek<Event>(GVR.events, "default", "web.1");
  assertEquals(await world.apply(event(ABOUT_POD)), { kind: "applied" });
  assertEquals(stored()?.source, { component: "kubelet", host: "n1" });
  await world.apply(event(ABOUT_POD, { count: 3 }));
  assertEquals(stored()?.count, 3);
  await world.apply(event(ABOUT_POD, { count: 2 })); // delivered again, late
  assertEquals(stored()?.count, 3);
});

Deno.test("events about what is not the node's own are dropped", async () => {
  await using world = startWorld();
  world.kube.put(GVR.pods, boundPod());
  const kinds = [
    await world.apply(event(ABOUT_POD), "n2"),
    await world.apply(event({ ...ABOUT_POD, uid: "u9" })),
    await world.apply(event({ kind: "Node", name: "n2" })),
    await world.apply(event({ kind: "Secret", namespace: "default", name: "s", uid: "x" })),
    await world.apply(event(ABOUT_POD, { metadata: { name: "e", namespace: "kube-system" } })),
  ].map((outcome) => outcome.kind);
  assertEquals(kinds, ["dropped", "dropped", "dropped", "dropped", "dropped"]);
  assertEquals(await world.apply(event({ kind: "Node", name: "n1" })), { kind: "applied" });
});

Deno.test("the last events of a pod still find it after it has gone", async () => {
  await using world = startWorld();
  const metadata = { uid: "u1", deletionTimestamp: "2026-01-01T00:00:30Z" };
  world.kube.put(GVR.pods, boundPod({ metadata }));
  await world.apply({ kind: "pod_gone", pod: ref() });
  assertEquals(await world.apply(event(ABOUT_POD)), { kind: "applied" });
  assertEquals((await world.apply(event(ABOUT_POD), "n2")).kind, "dropped");
});

const STATIC_UID = "0123456789abcdef0123456789abcdef";
const MIRROR: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    name: "web-n1",
    namespace: "default",
    annotations: { "kubernetes.io/config.mirror": STATIC_UID },
  },
  spec: { nodeName: "n1", containers: [{ name: "main", image: "img:1" }] },
};
const STATIC_REPORT: Report = {
  kind: "pod_status",
  pod: ref(STATIC_UID, "web-n1"),
  status: RUNNING,
  mirror: MIRROR,
};

Deno.test("a static pod is shown by its mirror, made of the report", async () => {
  await using world = startWorld();
  world.kube.put(GVR.nodes, sampleNode("n1"));
  assertEquals(await world.apply(STATIC_REPORT), { kind: "applied" });
  assertEquals(world.pod("web-n1")?.status?.phase, "Running");
  const ended: Report = { ...STATIC_REPORT, status: { phase: "Failed" } };
  assertEquals(await world.apply(ended), { kind: "applied" });
  assertEquals(world.pod("web-n1")?.status?.phase, "Failed");
  const gone: Report = { kind: "pod_gone", pod: ref(STATIC_UID, "web-n1") };
  assertEquals(await world.apply(gone), { kind: "applied" });
  assertEquals(world.pod("web-n1"), undefined);
});

Deno.test("a mirror that somebody deletes is made again, with its status", async () => {
  await using world = startWorld();
  world.kube.put(GVR.nodes, sampleNode("n1"));
  await world.apply(STATIC_REPORT);
  const before = world.pod("web-n1");
  await world.kube.delete(GVR.pods, { namespace: "default", name: "web-n1" }, {}, SIGNAL);
  await until(() => {
    const now = world.pod("web-n1");
    return now?.metadata.uid !== before?.metadata.uid && now?.status?.phase === "Running";
  }, "the mirror is there again");
  assertEquals(world.pod("web-n1")?.metadata.deletionTimestamp, undefined);
});

Deno.test("a static pod of other content takes the place of its mirror", async () => {
  await using world = startWorld();
  world.kube.put(GVR.nodes, sampleNode("n1"));
  await world.apply(STATIC_REPORT);
  const uid = STATIC_UID.replace("0", "f");
  const annotations = { "kubernetes.io/config.mirror": uid };
  const mirror = { ...MIRROR, metadata: { ...MIRROR.metadata, annotations } };
  const report: Report = { ...STATIC_REPORT, pod: ref(uid, "web-n1"), mirror };
  assertEquals(await world.apply(report), { kind: "applied" });
  assertEquals(world.pod("web-n1")?.metadata.annotations, annotations);
});

Deno.test("a mirror never takes the place of a pod, nor of another node's", async () => {
  await using world = startWorld();
  world.kube.put(GVR.nodes, sampleNode("n1"));
  world.kube.put(GVR.pods, samplePod("web-n1", { nodeName: "n1" }));
  assertEquals(await world.apply(STATIC_REPORT), {
    kind: "dropped",
    reason: "a pod of this name is there already, and it is no static pod of this node",
  });
  assertEquals(await world.apply(STATIC_REPORT, "n2"), {
    kind: "dropped",
    reason: "mirror is not bound to this node",
  });
});
