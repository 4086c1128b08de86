/**
 * The Node object this node reports: labels, taints, capacity, what of it pods may use, addresses,
 * versions and conditions, as kubelet would write them. Pure.
 */
import { deepEqual } from "../../shared/json/json.ts";
import type { Condition, Node, NodeStatus, Taint } from "../../shared/k8s/types.ts";
import { KUBERNETES_VERSION, VERSION } from "../../shared/version.ts";
import { nodeResources, NOTHING_RESERVED, type Reservations } from "./allocatable.ts";
import { nodeConditions } from "./conditions.ts";
import type { MachineFacts, NodeImage, RuntimeHealth } from "./port.ts";

export interface NodeIdentity {
  name: string;
  labels: Readonly<Record<string, string>>;
  taints: readonly Taint[];
  podsMax: number;
  reservations?: Reservations;
}

const NO_PRESSURE: ReadonlySet<string> = new Set();

export interface NodeInput {
  identity: NodeIdentity;
  machine: MachineFacts;
  runtime: RuntimeHealth;
  /** What the node is short of, by condition. */
  pressures?: ReadonlySet<string>;
  isShuttingDown?: boolean;
  /** The largest first; undefined while the runtime has not told. */
  images?: readonly NodeImage[] | undefined;
  /** The last one built, for the transition times. */
  previous: Node | undefined;
  nowMs: number;
}

export function buildNode(input: NodeInput): Node {
  const { identity, machine } = input;
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: identity.name, labels: nodeLabels(identity, machine) },
    spec: identity.taints.length > 0 ? { taints: [...identity.taints] } : {},
    status: nodeStatus(input),
  };
}

/** Configured labels win over those the machine suggests. */
function nodeLabels(identity: NodeIdentity, machine: MachineFacts): Record<string, string> {
  const { architecture } = machine;
  return {
    "beta.kubernetes.io/arch": architecture,
    "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": architecture,
    "kubernetes.io/hostname": identity.name,
    "kubernetes.io/os": "linux",
    "node.kubernetes.io/instance-type": "skerry-edge",
    "node-role.kubernetes.io/edge": "",
    ...identity.labels,
  };
}

function nodeStatus(input: NodeInput): NodeStatus {
  const { identity, machine, runtime, previous, nowMs } = input;
  const { handlers, features } = runtime;
  return {
    ...nodeResources(machine, identity.podsMax, identity.reservations ?? NOTHING_RESERVED),
    conditions: nodeConditions({
      pressures: input.pressures ?? NO_PRESSURE,
      isShuttingDown: input.isShuttingDown ?? false,
      runtime,
      previous: previous?.status?.conditions ?? [],
      nowMs,
    }),
    addresses: [
      ...machine.addresses.map((address) => ({ type: "InternalIP", address })),
      { type: "Hostname", address: identity.name },
    ],
    nodeInfo: {
      architecture: machine.architecture,
      bootID: machine.bootId,
      containerRuntimeVersion: runtimeVersion(runtime, previous),
      kernelVersion: machine.kernelVersion,
      kubeProxyVersion: "",
      kubeletVersion: `${KUBERNETES_VERSION}-skerry-${VERSION}`,
      machineID: machine.machineId,
      operatingSystem: "linux",
      osImage: machine.osImage,
      systemUUID: machine.systemUuid,
    },
    ...(input.images ? { images: [...input.images] } : {}),
    ...(handlers && handlers.length > 0 ? { runtimeHandlers: [...handlers] } : {}),
    ...(features ? { features } : {}),
  };
}

/** A runtime that is away for a moment keeps its name and version. */
function runtimeVersion(runtime: RuntimeHealth, previous: Node | undefined): string {
  if (runtime.name) return `${runtime.name}://${runtime.version ?? "Unknown"}`;
  return previous?.status?.nodeInfo?.containerRuntimeVersion ?? "://Unknown";
}

/** True when the two say the same, but for the time they say it at. */
export function saysTheSame(a: Node, b: Node): boolean {
  return deepEqual(withoutHeartbeats(a), withoutHeartbeats(b));
}

function withoutHeartbeats(node: Node): unknown {
  const conditions = node.status?.conditions?.map((condition): Condition => {
    const { lastHeartbeatTime: _, ...rest } = condition;
    return rest;
  });
  return { ...node, status: { ...node.status, conditions } };
}
