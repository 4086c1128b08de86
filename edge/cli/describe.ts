/** `describe pod NAME`, `describe node NAME`: one object as people read it, with its events. */
import { stringify } from "yaml";
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { writeOut } from "../../shared/cli/run_program.ts";
import { AppError } from "../../shared/errors.ts";
import type {
  Condition,
  Container,
  ContainerState,
  ContainerStatus,
  Event,
  KubeList,
  KubeObject,
  Node,
  Pod,
} from "../../shared/k8s/types.ts";
import type { Why } from "../api/site/why.ts";
import { findPod, NAMESPACE_FLAG } from "./find_pod.ts";
import { LocalApiClient, SERVER_FLAGS } from "./local_api.ts";

export const DESCRIBE_COMMANDS: CommandSpec[] = [
  {
    name: "describe pod",
    summary: "A pod with its containers, conditions and events",
    operands: "NAME",
    operandsMin: 1,
    operandsMax: 1,
    flags: [NAMESPACE_FLAG, ...SERVER_FLAGS],
    run: describePod,
  },
  {
    name: "describe node",
    summary: "This node with its conditions, capacity and events",
    operands: "[NAME]",
    operandsMax: 1,
    flags: SERVER_FLAGS,
    run: describeNode,
  },
];

/** A heading of a block, or a name with its value; nested blocks are indented. */
export type Line = [name: string, value: string | Line[]];

async function describePod(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const [name = ""] = invocation.operands;
  const client = await LocalApiClient.find(invocation);
  const pod = await findPod(client, name, invocation, signal);
  const { namespace = "" } = pod.metadata;
  const path = [namespace, name].map(encodeURIComponent).join("/");
  const why: Why = await (await client.get(`/v1/why/pod/${path}`, signal)).json();
  const events = await eventsOf(client, pod, signal);
  writeOut(render([...podLines(pod), ["Why", why.summary], ["Events", eventLines(events)]]));
  return 0;
}

async function describeNode(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const client = await LocalApiClient.find(invocation);
  const list: KubeList<Node> = await (await client.get("/api/v1/nodes", signal)).json();
  const [name] = invocation.operands;
  const node = list.items.find((each) => name === undefined || each.metadata.name === name);
  if (!node) throw new AppError("not_found", `nodes "${name}" not found; this is another node`);
  const events = await eventsOf(client, node, signal);
  writeOut(render([...nodeLines(node), ["Events", eventLines(events)]]));
  return 0;
}

async function eventsOf(
  client: LocalApiClient,
  about: KubeObject,
  signal: AbortSignal,
): Promise<Event[]> {
  const params = new URLSearchParams({
    fieldSelector: `involvedObject.name=${about.metadata.name}`,
  });
  const list: KubeList<Event> = await (await client.get(`/api/v1/events?${params}`, signal)).json();
  const { uid } = about.metadata;
  return list.items.filter((event) =>
    event.involvedObject.kind === about.kind &&
    (about.kind === "Node" || event.involvedObject.uid === uid)
  );
}

export function podLines(pod: Pod): Line[] {
  const { metadata, spec, status } = pod;
  return [
    ["Name", metadata.name ?? ""],
    ["Namespace", metadata.namespace ?? ""],
    ["UID", metadata.uid ?? ""],
    ["Node", spec.nodeName ?? ""],
    ["Labels", pairs(metadata.labels)],
    ["Annotations", pairs(metadata.annotations)],
    ["Created", String(metadata.creationTimestamp ?? "")],
    ...(metadata.deletionTimestamp
      ? [["Deleted by the cloud", metadata.deletionTimestamp] satisfies Line]
      : []),
    ["Phase", status?.phase ?? "Pending"],
    ["IP", status?.podIP ?? ""],
    ["Restart policy", spec.restartPolicy ?? "Always"],
    ["Init containers", containerLines(spec.initContainers, status?.initContainerStatuses)],
    ["Containers", containerLines(spec.containers, status?.containerStatuses)],
    ["Conditions", conditionLines(status?.conditions)],
    ["Volumes", (spec.volumes ?? []).map(({ name, ...source }) => [name, flow(source)])],
  ];
}

function containerLines(containers: Container[] = [], statuses: ContainerStatus[] = []): Line[] {
  return containers.map((container) => {
    const status = statuses.find((s) => s.name === container.name);
    return [container.name, [
      ["Image", container.image ?? ""],
      ["Command", flow([...container.command ?? [], ...container.args ?? []])],
      ["State", stateText(status?.state)],
      ["Last state", stateText(status?.lastState)],
      ["Ready", status?.ready ? "yes" : "no"],
      ["Restarts", String(status?.restartCount ?? 0)],
      ["Container id", status?.containerID ?? ""],
      ["Resources", flow(container.resources ?? {})],
      [
        "Mounts",
        (container.volumeMounts ?? []).map((m) => `${m.mountPath} (${m.name})`).join(", "),
      ],
    ]];
  });
}

function stateText(state: ContainerState | undefined): string {
  if (state?.running) return `running since ${state.running.startedAt}`;
  if (state?.waiting) {
    const { reason = "", message } = state.waiting;
    return `waiting: ${reason}${message ? ` (${message})` : ""}`;
  }
  if (!state?.terminated) return "";
  const { exitCode, reason, finishedAt, message } = state.terminated;
  return `ended with exit code ${exitCode}${reason ? ` (${reason})` : ""}` +
    `${finishedAt ? ` at ${finishedAt}` : ""}${message ? `: ${message}` : ""}`;
}

export function nodeLines({ metadata, spec, status }: Node): Line[] {
  const info = Object.entries(status?.nodeInfo ?? {}).map(([k, v]): Line => [k, String(v)]);
  return [
    ["Name", metadata.name ?? ""],
    ["Labels", pairs(metadata.labels)],
    ["Taints", (spec?.taints ?? []).map((t) => `${t.key}:${t.effect}`).join(", ")],
    ["Addresses", (status?.addresses ?? []).map((a) => `${a.type}=${a.address}`).join(", ")],
    ["Conditions", conditionLines(status?.conditions)],
    ["Capacity", pairs(status?.capacity)],
    ["Allocatable", pairs(status?.allocatable)],
    ["System", info],
  ];
}

function conditionLines(conditions: Condition[] = []): Line[] {
  return conditions.map(({ type, status, reason, message }) => [
    type,
    [status, reason, message].filter(Boolean).join(", "),
  ]);
}

function eventLines(events: Event[]): Line[] {
  return events.map(({ type, reason, message, lastTimestamp, count = 1 }) => [
    `${lastTimestamp ?? ""} ${type ?? ""} ${reason ?? ""}${count > 1 ? ` (x${count})` : ""}`,
    message ?? "",
  ]);
}

function pairs(map: Record<string, unknown> = {}): string {
  return Object.entries(map).map(([key, value]) => `${key}=${value}`).join(", ");
}

/** YAML on one line; nothing for nothing. */
function flow(value: unknown): string {
  if (Object.keys(Object(value)).length === 0) return "";
  return stringify(value, { collectionStyle: "flow", lineWidth: 0 }).trim();
}

/** Names beside their values, aligned within each block; what has no value is left out. */
export function render(lines: readonly Line[], indent = ""): string {
  const shown = lines.filter(([, value]) => value.length > 0);
  const width = Math.max(0, ...shown.flatMap(([n, v]) => typeof v === "string" ? [n.length] : []));
  return shown.map(([name, value]) =>
    typeof value === "string"
      ? `${indent}${`${name}:`.padEnd(width + 2)}${value}\n`
      : `${indent}${name}:\n${render(value, `${indent}  `)}`
  ).join("");
}
