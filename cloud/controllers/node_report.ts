/**
 * What of a node's report about itself is taken, and how. A node names its own labels and taints
 * once, when it registers; later only the labels that state facts (arch, os, hostname, type, zone)
 * follow it, as under kubelet. It can never set labels that administrators use to fence nodes.
 * Pure.
 */
import { deepEqual } from "../../shared/json/json.ts";
import type { Node, NodeStatus } from "../../shared/k8s/types.ts";
import { mergeConditions } from "./pod_status.ts";
import { isLinkTaint } from "./taints.ts";

/** Marks nodes whose agent is ours; the node controllers leave all others alone. */
export const AGENT_ANNOTATION = "skerry.dev/agent";
const AGENT = "edge";

/** Labels under kubernetes.io and k8s.io that a node may give itself (kubelet's list). */
const OWN_LABELS = new Set([
  "kubernetes.io/hostname",
  "kubernetes.io/arch",
  "kubernetes.io/os",
  "beta.kubernetes.io/arch",
  "beta.kubernetes.io/os",
  "beta.kubernetes.io/instance-type",
  "node.kubernetes.io/instance-type",
  "failure-domain.beta.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region",
  "topology.kubernetes.io/zone",
  "topology.kubernetes.io/region",
  "node-role.kubernetes.io/edge",
]);
const OWN_LABEL_PREFIXES = ["kubelet.kubernetes.io/", "node.kubernetes.io/"];
/** Labels that state facts and follow the node after it has registered. */
const FACT_LABELS = [
  "kubernetes.io/hostname",
  "kubernetes.io/arch",
  "kubernetes.io/os",
  "node.kubernetes.io/instance-type",
  "topology.kubernetes.io/zone",
  "topology.kubernetes.io/region",
];

/** 100: far above any real node, far below what would make an object unwieldy. */
const REGISTERED_MAX = 100;

export function mayNodeSetLabel(key: string): boolean {
  const prefix = key.includes("/") ? key.slice(0, key.indexOf("/")) : "";
  const isReserved = /(^|\.)(kubernetes|k8s)\.io$/.test(prefix);
  if (!isReserved) return true;
  return OWN_LABELS.has(key) || OWN_LABEL_PREFIXES.some((own) => key.startsWith(own));
}

export function isEdgeNode(node: Node): boolean {
  return node.metadata.annotations?.[AGENT_ANNOTATION] === AGENT;
}

/** The object a node registers as: whole, status and all, as kubelet does. */
export function registration(name: string, reported: Node): Node {
  const labels = Object.entries(reported.metadata.labels ?? {})
    .filter(([key, value]) => typeof value === "string" && mayNodeSetLabel(key))
    .slice(0, REGISTERED_MAX);
  const taints = (reported.spec?.taints ?? [])
    .filter((taint) => !isLinkTaint(taint)).slice(0, REGISTERED_MAX);
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name,
      labels: Object.fromEntries(labels),
      annotations: { [AGENT_ANNOTATION]: AGENT },
    },
    spec: {
      ...(taints.length > 0 ? { taints } : {}),
      ...(reported.spec?.unschedulable === true ? { unschedulable: true } : {}),
    },
    ...(reported.status ? { status: reported.status } : {}),
  };
}

export interface NodeMetadataPatch {
  metadata: { labels?: Record<string, string>; annotations?: Record<string, string> };
}

/** The merge patch that brings fact labels and our mark up to date, or undefined. */
export function metadataPatch(current: Node, reported: Node): NodeMetadataPatch | undefined {
  const labels: Record<string, string> = {};
  for (const key of FACT_LABELS) {
    const value = reported.metadata.labels?.[key];
    if (typeof value === "string" && value !== current.metadata.labels?.[key]) labels[key] = value;
  }
  const patch: NodeMetadataPatch = { metadata: {} };
  if (Object.keys(labels).length > 0) patch.metadata.labels = labels;
  if (!isEdgeNode(current)) patch.metadata.annotations = { [AGENT_ANNOTATION]: AGENT };
  return Object.keys(patch.metadata).length > 0 ? patch : undefined;
}

/** The status to write, or undefined when the stored one says it already. */
export function nodeStatus(current: Node, reported: Node): NodeStatus | undefined {
  const conditions = mergeConditions(current.status?.conditions, reported.status?.conditions);
  const status: NodeStatus = { ...current.status, ...reported.status, conditions };
  return deepEqual(status, current.status) ? undefined : status;
}
