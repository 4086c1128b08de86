import { assert, assertEquals } from "@std/assert";
import type { Node } from "../../shared/k8s/types.ts";
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
    "ephemeral-storage": "9000000000",
    memory: "4091904Ki",
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

const PRESSURES: [string, Partial<MachineFacts>][] = [
  ["MemoryPressure", { memoryAvailableBytes: 50 * 1024 ** 2 }],
  ["DiskPressure", { disk: { ...MACHINE.disk, availableBytes: 9e8 } }],
  ["DiskPressure", { disk: { ...MACHINE.disk, inodesFree: 10 } }],
  ["PIDPressure", { pids: { max: 32_768, used: 32_000 } }],
];

for (const [type, machine] of PRESSURES) {
  Deno.test(`${type} with ${JSON.stringify(machine)}`, () => {
    const node = build(machine);
    const isTrue = (node.status?.conditions ?? []).filter((c) => c.status === "True");
    assertEquals(isTrue.map((c) => c.type).sort(), [type, "Ready"].sort());
  });
}

Deno.test("a file system that counts no inodes has no pressure", () => {
  const node = build({ disk: { ...MACHINE.disk, inodes: 0, inodesFree: 0 } });
  assertEquals(condition(node, "DiskPressure")?.status, "False");
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
