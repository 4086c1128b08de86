import { assert, assertEquals, assertThrows } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { AppError } from "../../shared/errors.ts";
import { ImageSchema } from "../../shared/gen/runtime/v1/api_pb.ts";
import type { Node } from "../../shared/k8s/types.ts";
import { parseReserved } from "./allocatable.ts";
import { listImages } from "./node_images.ts";
import { buildNode, saysTheSame } from "./node_object.ts";
import type { MachineFacts, RuntimeHealth } from "./port.ts";
import { IDENTITY, MACHINE, RUNTIME } from "./testing/samples.ts";

function build(
  machine: Partial<MachineFacts> = {},
  runtime: Partial<RuntimeHealth> = {},
  more: { previous?: Node; nowMs?: number } = {},
): Node {
  return buildNode({
    identity: IDENTITY,
    machine: { ...MACHINE, ...machine },
    runtime: { ...RUNTIME, ...runtime },
    previous: more.previous,
    nowMs: more.nowMs ?? 0,
  });
}

function condition(node: Node, type: string) {
  return node.status?.conditions?.find((c) => c.type === type);
}

Deno.test("buildNode() says what kubelet would say", () => {
  const node = build();
  assertEquals(node.metadata.labels, {
    "beta.kubernetes.io/arch": "arm64",
    "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": "arm64",
    "kubernetes.io/hostname": "n1",
    "kubernetes.io/os": "linux",
    "node.kubernetes.io/instance-type": "skerry-edge",
    "node-role.kubernetes.io/edge": "",
    site: "plant-7",
  });
  assertEquals(node.spec?.taints, [{ key: "site", effect: "NoSchedule" }]);
  assertEquals(node.status?.capacity, {
    cpu: "4",
    "ephemeral-storage": "9765625Ki",
    memory: "4194304Ki",
    pods: "110",
  });
  assertEquals(node.status?.allocatable, {
    cpu: "4",
    "ephemeral-storage": "10000000000",
    memory: "4194304Ki",
    pods: "110",
  });
  assertEquals(node.status?.addresses, [
    { type: "InternalIP", address: "192.0.2.5" },
    { type: "InternalIP", address: "2001:db8::5" },
    { type: "Hostname", address: "n1" },
  ]);
  assertEquals(node.status?.nodeInfo?.containerRuntimeVersion, "containerd://1.6.20");
  assert(/^v1\.33\.0-skerry-\d/.test(node.status?.nodeInfo?.kubeletVersion ?? ""));
  assertEquals(
    node.status?.conditions?.map(({ type, status, reason, message }) =>
      `${type}=${status} ${reason}: ${message}`
    ),
    [
      "MemoryPressure=False KubeletHasSufficientMemory: kubelet has sufficient memory available",
      "DiskPressure=False KubeletHasNoDiskPressure: kubelet has no disk pressure",
      "PIDPressure=False KubeletHasSufficientPID: kubelet has sufficient PID available",
      "Ready=True KubeletReady: kubelet is posting ready status",
    ],
  );
});

const NO_CNI = "NetworkReady=false reason:NetworkPluginNotReady message:cni plugin not initialized";
const READY: [string, Partial<RuntimeHealth>, string][] = [
  [
    "network",
    { network: { ready: false, message: NO_CNI } },
    `container runtime network not ready: ${NO_CNI}`,
  ],
  ["silent runtime", { ready: false, network: { ready: false } }, "container runtime is down"],
  [
    "runtime with words",
    {
      ready: false,
      message: "Cannot reach the runtime: no such socket",
      network: { ready: false },
    },
    "container runtime not ready: Cannot reach the runtime: no such socket",
  ],
];

for (const [name, runtime, message] of READY) {
  Deno.test(`a node is not Ready and says why: ${name}`, () => {
    const ready = condition(build({}, runtime), "Ready");
    assertEquals([ready?.status, ready?.reason, ready?.message], [
      "False",
      "KubeletNotReady",
      message,
    ]);
  });
}

for (const type of ["MemoryPressure", "DiskPressure", "PIDPressure"]) {
  Deno.test(`${type} is said when the node is short of it`, () => {
    const node = buildNode({
      identity: IDENTITY,
      machine: MACHINE,
      runtime: RUNTIME,
      pressures: new Set([type]),
      previous: undefined,
      nowMs: 0,
    });
    const isTrue = (node.status?.conditions ?? []).filter((c) => c.status === "True");
    assertEquals(isTrue.map((c) => c.type).sort(), [type, "Ready"].sort());
  });
}

Deno.test("a node that is shutting down is not Ready, and says so", () => {
  const node = buildNode({
    identity: IDENTITY,
    machine: MACHINE,
    runtime: RUNTIME,
    isShuttingDown: true,
    previous: undefined,
    nowMs: 0,
  });
  const ready = condition(node, "Ready");
  assertEquals([ready?.status, ready?.reason, ready?.message], [
    "False",
    "KubeletNotReady",
    "node is shutting down",
  ]);
});

Deno.test("what is reserved and what eviction keeps free is not for pods", () => {
  const words = { cpu: "250m", memory: "1Gi", "ephemeral-storage": "1G" };
  const node = buildNode({
    identity: {
      ...IDENTITY,
      reservations: {
        reserved: [parseReserved(words, "a"), parseReserved({ cpu: "250m" }, "b")],
        keptFree: (resource, bytes) => resource === "memory" ? 100 * 1024 ** 2 : bytes * 0.1,
      },
    },
    machine: { ...MACHINE, hugepages: { "2Mi": 64 * 1024 ** 2, "1Gi": 0 } },
    runtime: { ...RUNTIME, features: { supplementalGroupsPolicy: true } },
    images: [{ names: ["a:1"], sizeBytes: 7 }],
    previous: undefined,
    nowMs: 0,
  });
  assertEquals(node.status?.allocatable, {
    cpu: "3500m",
    "ephemeral-storage": "8000000000",
    "hugepages-2Mi": "64Mi",
    "hugepages-1Gi": "0",
    memory: `${(4096 - 1024 - 100 - 64) * 1024}Ki`,
    pods: "110",
  });
  assertEquals(node.status?.capacity?.["hugepages-2Mi"], "64Mi");
  assertEquals(node.status?.images, [{ names: ["a:1"], sizeBytes: 7 }]);
  assertEquals(node.status?.features, { supplementalGroupsPolicy: true });
  assertThrows(() => parseReserved({ gpu: "1" }, "node.kubeReserved"), AppError, "kubeReserved");
  assertThrows(() => parseReserved({ cpu: "-1" }, "x"), AppError, "x.cpu must be");
});

Deno.test("images: the largest first, with few names, no more than fit", () => {
  const image = (name: string, size: bigint, tags = 1) =>
    create(ImageSchema, {
      id: name,
      repoTags: Array.from({ length: tags }, (_, i) => `${name}:${i}`),
      size,
    });
  const all = [image("a", 5n), image("b", 9n, 8), image("untagged", 99n, 0), image("c", 1n)];
  const listed = listImages(all, 2);
  assertEquals(listed.map(({ sizeBytes }) => sizeBytes), [9, 5]);
  assertEquals(listed[0]?.names.length, 5);
});

Deno.test("transition times stand while the status stands; heartbeats say nothing new", () => {
  const first = build();
  const later = build({}, {}, { previous: first, nowMs: 60_000 });
  assertEquals(condition(later, "Ready")?.lastTransitionTime, "1970-01-01T00:00:00Z");
  assertEquals(condition(later, "Ready")?.lastHeartbeatTime, "1970-01-01T00:01:00Z");
  assert(saysTheSame(first, later));
  const down = { ready: false, network: { ready: false } };
  const broken = build({}, down, { previous: later, nowMs: 90_000 });
  assertEquals(condition(broken, "Ready")?.lastTransitionTime, "1970-01-01T00:01:30Z");
  assert(!saysTheSame(later, broken));
});

Deno.test("a runtime that is away keeps its version", () => {
  const { name: _, version: __, ...away } = RUNTIME;
  const node = buildNode({
    identity: IDENTITY,
    machine: MACHINE,
    runtime: { ...away, ready: false },
    previous: build(),
    nowMs: 0,
  });
  assertEquals(node.status?.nodeInfo?.containerRuntimeVersion, "containerd://1.6.20");
});
