import { assertEquals } from "@std/assert";
import type { ContainerStatus, KubeObject, Pod } from "../types.ts";
import { summarizePod } from "./pod_status_text.ts";
import { toTable } from "./to_table.ts";

const NOW = Date.parse("2026-01-01T12:00:00Z");

function status(name: string, rest: Partial<ContainerStatus>): ContainerStatus {
  return { name, ready: false, restartCount: 0, image: "i", imageID: "", ...rest };
}

function pod(phase: string, statuses: ContainerStatus[], rest: object = {}): Pod {
  return {
    kind: "Pod",
    metadata: { name: "web", creationTimestamp: "2026-01-01T11:55:00Z" },
    spec: { containers: statuses.map(({ name }) => ({ name })), nodeName: "edge-1" },
    status: { phase, containerStatuses: statuses, podIP: "10.0.0.9" },
    ...rest,
  } as Pod;
}

const running = status("a", { ready: true, state: { running: {} } });

Deno.test("a pod's row is name, ready, status, restarts, age and the wide ones", () => {
  const table = toTable("Pod", [pod("Running", [running])], { includeObject: "None", nowMs: NOW });
  assertEquals(table.columnDefinitions.map(({ name, priority }) => `${name}${priority}`), [
    "Name0",
    "Ready0",
    "Status0",
    "Restarts0",
    "Age0",
    "IP1",
    "Node1",
    "Nominated Node1",
    "Readiness Gates1",
  ]);
  assertEquals(table.rows, [{
    cells: ["web", "1/1", "Running", "0", "5m", "10.0.0.9", "edge-1", "<none>", "<none>"],
  }]);
});

Deno.test("the status of a pod is the word people know", () => {
  const waiting = (reason: string) => status("a", { state: { waiting: { reason } } });
  const ended = (exitCode: number, rest: object = {}) =>
    status("a", { state: { terminated: { exitCode, ...rest } } });
  const sick = status("b", { state: { terminated: { exitCode: 0, reason: "Completed" } } });
  const deleting = { metadata: { name: "web", deletionTimestamp: "2026-01-01T12:00:00Z" } };
  const cases: [Pod, string, string][] = [
    [pod("Pending", []), "0/0", "Pending"],
    [pod("Pending", [waiting("ContainerCreating")]), "0/1", "ContainerCreating"],
    [pod("Running", [waiting("CrashLoopBackOff")]), "0/1", "CrashLoopBackOff"],
    [pod("Failed", [ended(3)]), "0/1", "ExitCode:3"],
    [pod("Failed", [ended(137, { signal: 9 })]), "0/1", "Signal:9"],
    [pod("Failed", [ended(1, { reason: "Error" })]), "0/1", "Error"],
    [pod("Succeeded", [ended(0, { reason: "Completed" })]), "0/1", "Completed"],
    [pod("Running", [sick, running]), "1/2", "NotReady"],
    [pod("Running", [running], deleting), "1/1", "Terminating"],
    [pod("Succeeded", [ended(0, { reason: "Completed" })], deleting), "0/1", "Completed"],
  ];
  for (const [object, ready, text] of cases) {
    const summary = summarizePod(object, NOW);
    assertEquals([summary.ready, summary.status], [ready, text], text);
  }
});

Deno.test("init containers hold the status until they are done", () => {
  const withInit = (init: ContainerStatus[]): Pod => {
    const object = pod("Pending", [status("main", {
      state: { waiting: { reason: "PodInitializing" } },
    })]);
    object.spec.initContainers = init.map(({ name }) => ({ name }));
    object.status!.initContainerStatuses = init;
    return object;
  };
  const done = status("i", { state: { terminated: { exitCode: 0, reason: "Completed" } } });
  const going = status("j", { state: { running: {} } });
  const failed = status("j", { state: { terminated: { exitCode: 2 } }, restartCount: 4 });
  const pulling = status("j", { state: { waiting: { reason: "ErrImagePull" } } });
  assertEquals(summarizePod(withInit([done, going]), NOW).status, "Init:1/2");
  assertEquals(summarizePod(withInit([done, pulling]), NOW).status, "Init:ErrImagePull");
  assertEquals(summarizePod(withInit([done, failed]), NOW).status, "Init:ExitCode:2");
  assertEquals(summarizePod(withInit([done, failed]), NOW).restarts, "4");
});

Deno.test("restarts say how long ago the last was", () => {
  const restarted = status("a", {
    ...running,
    restartCount: 2,
    lastState: { terminated: { exitCode: 1, finishedAt: "2026-01-01T11:00:00Z" } },
  });
  assertEquals(summarizePod(pod("Running", [restarted]), NOW).restarts, "2 (60m ago)");
});

function cells(kind: string, object: KubeObject): unknown {
  return toTable(kind, [object], { includeObject: "None", nowMs: NOW }).rows[0]?.["cells"];
}

Deno.test("a node's row tells readiness, roles and where it is", () => {
  const node: KubeObject = {
    metadata: { name: "n", labels: { "node-role.kubernetes.io/edge": "" } },
    spec: { unschedulable: true },
    status: {
      conditions: [{ type: "Ready", status: "Unknown" }],
      addresses: [{ type: "InternalIP", address: "192.0.2.1" }],
      nodeInfo: { kubeletVersion: "v1.33.1", osImage: "Debian" },
    },
  };
  assertEquals(cells("Node", node), [
    "n",
    "NotReady,SchedulingDisabled",
    "edge",
    "<unknown>",
    "v1.33.1",
    "192.0.2.1",
    "<none>",
    "Debian",
    "<unknown>",
    "<unknown>",
  ]);
});

Deno.test("an event's row tells when, what, about what", () => {
  const event: KubeObject = {
    metadata: { name: "web.1" },
    involvedObject: { kind: "Pod", name: "web" },
    type: "Normal",
    reason: "Started",
    message: "Started container\n",
    source: { component: "edge", host: "n" },
    lastTimestamp: "2026-01-01T11:59:30Z",
    firstTimestamp: "2026-01-01T11:00:00Z",
    count: 3,
  };
  assertEquals(cells("Event", event), [
    "30s",
    "Normal",
    "Started",
    "pod/web",
    "",
    "edge, n",
    "Started container",
    "60m",
    "3",
    "web.1",
  ]);
});

Deno.test("rows carry metadata or the whole object, ended pods a condition", () => {
  const map: KubeObject = { metadata: { name: "c", resourceVersion: "7" }, data: { a: "1" } };
  const table = toTable("ConfigMap", [map], { includeObject: "Metadata", nowMs: NOW });
  assertEquals(table.metadata, { resourceVersion: "7" });
  assertEquals(table.rows, [{
    cells: ["c", 1, "<unknown>"],
    object: {
      kind: "PartialObjectMetadata",
      apiVersion: "meta.k8s.io/v1",
      metadata: map.metadata,
    },
  }]);
  const ended = toTable("Pod", [pod("Succeeded", [])], {
    includeObject: "Object",
    nowMs: NOW,
    withColumns: false,
  });
  assertEquals(ended.columnDefinitions, []);
  assertEquals(ended.rows[0]?.["conditions"], [{
    type: "Completed",
    status: "True",
    reason: "Succeeded",
    message: "The pod has completed successfully.",
  }]);
});
