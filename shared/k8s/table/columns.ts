/** The columns of each kind's table and how a cell comes out of an object, as data. */
import { isJsonObject, type JsonObject } from "../../json/json.ts";
import { ageOf } from "../duration.ts";
import type { ConfigMap, Event, KubeObject, Lease, Node, Pod, Secret } from "../types.ts";
import { DEVICE_COLUMNS } from "./device_columns.ts";
import { PREPULL_COLUMNS } from "./prepull_columns.ts";
import { summarizePod } from "./pod_status_text.ts";
import { STORAGE_COLUMNS } from "./storage_columns.ts";

export type Cell = string | number;

export interface Column {
  name: string;
  type: "string" | "integer" | "date";
  /** 0 always, 1 with -o wide. */
  priority: 0 | 1;
  cell(object: KubeObject, nowMs: number): Cell;
}

type Read = (object: KubeObject, nowMs: number) => Cell;

const text = (name: string, cell: Read, priority: 0 | 1 = 0): Column => ({
  name,
  type: "string",
  priority,
  cell,
});
const wide = (name: string, cell: Read): Column => text(name, cell, 1);
const count = (name: string, cell: Read): Column => ({ name, type: "integer", priority: 0, cell });

const NAME = text("Name", (object) => object.metadata.name ?? "");
const AGE = text("Age", (object, nowMs) => ageOf(object.metadata.creationTimestamp, nowMs));
const NONE = "<none>";

// Shapes were checked by decodeJson() before the objects were stored
const pod = (object: KubeObject) => object as Pod;
const node = (object: KubeObject) => object as Node;
const event = (object: KubeObject) => object as Event;

function sizeOf(value: unknown): number {
  return isJsonObject(value) ? Object.keys(value).length : 0;
}

function listOf(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

function partOf(object: KubeObject, key: string): JsonObject {
  const part = object[key];
  return isJsonObject(part) ? part : {};
}

const POD: Column[] = [
  NAME,
  text("Ready", (object, nowMs) => summarizePod(pod(object), nowMs).ready),
  text("Status", (object, nowMs) => summarizePod(pod(object), nowMs).status),
  text("Restarts", (object, nowMs) => summarizePod(pod(object), nowMs).restarts),
  AGE,
  wide("IP", (object) => pod(object).status?.podIP || NONE),
  wide("Node", (object) => pod(object).spec.nodeName || NONE),
  wide("Nominated Node", (object) => String(partOf(object, "status")["nominatedNodeName"] ?? NONE)),
  wide("Readiness Gates", (object) => readinessGates(pod(object))),
];

function readinessGates(object: Pod): string {
  const gates = object.spec.readinessGates ?? [];
  if (gates.length === 0) return NONE;
  const met = gates.filter((gate) =>
    object.status?.conditions?.some((condition) =>
      condition.type === gate.conditionType && condition.status === "True"
    )
  );
  return `${met.length}/${gates.length}`;
}

const NODE: Column[] = [
  NAME,
  text("Status", (object) => nodeStatus(node(object))),
  text("Roles", (object) => nodeRoles(node(object))),
  AGE,
  text("Version", (object) => node(object).status?.nodeInfo?.["kubeletVersion"] ?? ""),
  wide("Internal-IP", (object) => nodeAddress(node(object), "InternalIP")),
  wide("External-IP", (object) => nodeAddress(node(object), "ExternalIP")),
  wide("OS-Image", (object) => nodeInfo(node(object), "osImage")),
  wide("Kernel-Version", (object) => nodeInfo(node(object), "kernelVersion")),
  wide("Container-Runtime", (object) => nodeInfo(node(object), "containerRuntimeVersion")),
];

function nodeStatus(object: Node): string {
  const ready = object.status?.conditions?.find((condition) => condition.type === "Ready");
  const words = [ready ? (ready.status === "True" ? "Ready" : "NotReady") : "Unknown"];
  if (object.spec?.unschedulable) words.push("SchedulingDisabled");
  return words.join(",");
}

function nodeRoles(object: Node): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(object.metadata.labels ?? {})) {
    if (key.startsWith("node-role.kubernetes.io/")) roles.add(key.slice(key.indexOf("/") + 1));
    else if (key === "kubernetes.io/role") roles.add(value);
  }
  roles.delete("");
  return roles.size === 0 ? NONE : [...roles].sort().join(",");
}

function nodeAddress(object: Node, type: string): string {
  return object.status?.addresses?.find((address) => address.type === type)?.address ?? NONE;
}

function nodeInfo(object: Node, key: string): string {
  return object.status?.nodeInfo?.[key] || "<unknown>";
}

const EVENT: Column[] = [
  text("Last Seen", (object, nowMs) => ageOf(lastSeen(event(object)), nowMs)),
  text("Type", (object) => event(object).type ?? ""),
  text("Reason", (object) => event(object).reason ?? ""),
  text("Object", (object) => {
    const { kind = "", name = "" } = event(object).involvedObject ?? {};
    return name === "" ? kind.toLowerCase() : `${kind.toLowerCase()}/${name}`;
  }),
  wide("Subobject", (object) => event(object).involvedObject?.fieldPath ?? ""),
  wide("Source", (object) => {
    const { source, reportingComponent = "" } = event(object);
    const component = source?.component || reportingComponent;
    return source?.host ? `${component}, ${source.host}` : component;
  }),
  text("Message", (object) => (event(object).message ?? "").trim()),
  wide("First Seen", (object, nowMs) => ageOf(firstSeen(event(object)), nowMs)),
  wide("Count", (object) => String(event(object).count || 1)),
  wide("Name", (object) => object.metadata.name ?? ""),
];

function firstSeen(object: Event): string | undefined {
  const { firstTimestamp, eventTime, metadata } = object as Event & { eventTime?: string };
  return firstTimestamp || eventTime || metadata.creationTimestamp || undefined;
}

function lastSeen(object: Event): string | undefined {
  const series = partOf(object, "series")["lastObservedTime"];
  return typeof series === "string" ? series : object.lastTimestamp || firstSeen(object);
}

const SERVICE: Column[] = [
  NAME,
  text("Type", (object) => String(partOf(object, "spec")["type"] ?? "")),
  text("Cluster-IP", (object) => String(partOf(object, "spec")["clusterIP"] ?? NONE)),
  text("External-IP", (object) => externalIps(object)),
  text(
    "Port(s)",
    (object) =>
      listOf(partOf(object, "spec")["ports"]).map((port) =>
        `${port["port"]}${port["nodePort"] ? `:${port["nodePort"]}` : ""}/${
          port["protocol"] ?? "TCP"
        }`
      ).join(",") || NONE,
  ),
  AGE,
  wide("Selector", (object) => selectorText(partOf(object, "spec")["selector"])),
];

function externalIps(object: KubeObject): string {
  const spec = partOf(object, "spec");
  if (spec["type"] === "ExternalName") return String(spec["externalName"] ?? NONE);
  const ips = spec["externalIPs"];
  return Array.isArray(ips) && ips.length > 0 ? ips.join(",") : NONE;
}

function selectorText(selector: unknown): string {
  if (!isJsonObject(selector)) return NONE;
  return Object.entries(selector).map(([key, value]) => `${key}=${value}`).sort().join(",") || NONE;
}

const ENDPOINTS: Column[] = [NAME, text("Endpoints", endpointsText), AGE];

/** Three at most, then how many more. */
function endpointsText(object: KubeObject): string {
  const all = listOf(object["subsets"]).flatMap((subset) =>
    listOf(subset["addresses"]).flatMap((address) => {
      const ports = listOf(subset["ports"]);
      if (ports.length === 0) return [String(address["ip"])];
      return ports.map((port) => `${address["ip"]}:${port["port"]}`);
    })
  );
  if (all.length === 0) return NONE;
  const shown = all.slice(0, 3).join(",");
  return all.length > 3 ? `${shown} + ${all.length - 3} more...` : shown;
}

const RUNTIME_CLASS: Column[] = [
  NAME,
  text("Handler", (object) => String(object.handler ?? "")),
  AGE,
];

const COLUMNS: Readonly<Record<string, Column[]>> = {
  ...DEVICE_COLUMNS,
  ...STORAGE_COLUMNS,
  ImagePrePullJob: PREPULL_COLUMNS,
  Pod: POD,
  Node: NODE,
  RuntimeClass: RUNTIME_CLASS,
  Event: EVENT,
  Service: SERVICE,
  Endpoints: ENDPOINTS,
  Namespace: [
    NAME,
    text("Status", (object) => String(partOf(object, "status")["phase"] ?? "")),
    AGE,
  ],
  ConfigMap: [
    NAME,
    count("Data", (object) => {
      const { data, binaryData } = object as ConfigMap; // checked when it was stored
      return sizeOf(data) + sizeOf(binaryData);
    }),
    AGE,
  ],
  Secret: [
    NAME,
    text("Type", (object) => (object as Secret).type ?? ""), // checked when it was stored
    count("Data", (object) => sizeOf(object["data"])),
    AGE,
  ],
  ServiceAccount: [NAME, count("Secrets", (object) => listOf(object["secrets"]).length), AGE],
  Lease: [
    NAME,
    // Checked when it was stored
    text("Holder", (object) => (object as Lease).spec?.holderIdentity ?? ""),
    AGE,
  ],
};

/** The columns of `kind`; name and age for a kind that has none of its own. */
export function columnsOf(kind: string): readonly Column[] {
  return COLUMNS[kind] ?? [NAME, AGE];
}
