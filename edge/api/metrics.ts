/** Prometheus text of what the edge knows of itself. */
import type { Pod } from "../../shared/k8s/types.ts";
import type { DmiCounts } from "../dmi/port.ts";
import type { MapperCounts } from "../mappers/port.ts";
import type { TwinCounts } from "../twins/port.ts";
import type { MqttCounts } from "../mqtt/port.ts";
import type { EdgeStatus } from "./port.ts";

export interface ProcessFacts {
  residentBytes: number;
  heapUsedBytes: number;
  uptimeSeconds: number;
}

/** Of rooms a node may be without. */
export interface RoomCounts {
  twins?: TwinCounts | undefined;
  mqtt?: MqttCounts | undefined;
  mapped?: MapperCounts | undefined;
  dmi?: DmiCounts | undefined;
}

const LINK_STATES = ["idle", "dialing", "live", "backoff"] as const;

export function renderMetrics(
  status: EdgeStatus,
  pods: Pod[],
  process: ProcessFacts,
  { twins, mqtt, mapped, dmi }: RoomCounts = {},
): string {
  const out: string[] = [];
  const metric: MetricWriter = (name, type, help, rows) => {
    out.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of rows) out.push(`${name}${labels} ${value}`);
  };
  metric("skerry_build_info", "gauge", "Version of this program; always 1.", [
    [`{version="${status.version}",node="${status.node}"}`, 1],
  ]);
  metric(
    "skerry_link_state",
    "gauge",
    "1 for the state the link to the cloud is in.",
    LINK_STATES.map((state) => [`{state="${state}"}`, status.link.state === state ? 1 : 0]),
  );
  linkTraffic(status, metric);
  metric("skerry_clock_known", "gauge", "1 once the cloud has said what time it is.", [
    ["", status.time?.known ? 1 : 0],
  ]);
  metric("skerry_clock_correction_seconds", "gauge", "What is added to the machine's clock.", [
    ["", (status.time?.correctionMs ?? 0) / 1_000],
  ]);
  metric("skerry_ledger_generation", "gauge", "Generation of the accepted desired state.", [
    ["", status.ledger.generation],
  ]);
  metric("skerry_ledger_objects", "gauge", "Objects in the accepted desired state.", [
    ["", status.ledger.objects],
  ]);
  metric("skerry_outbox_depth", "gauge", "Reports the cloud has not acknowledged.", [
    ["", status.outbox.depth],
  ]);
  metric(
    "skerry_outbox_dropped_total",
    "counter",
    "Reports dropped, by reason.",
    Object.entries(status.outbox.dropped).map(([reason, count]) => [`{reason="${reason}"}`, count]),
  );
  metric("skerry_store_commits_total", "counter", "Commits the store has made since it began.", [
    ["", status.store.lastSequence],
  ]);
  diskMetrics(status, metric);
  metric("skerry_runtime_ready", "gauge", "1 when the container runtime answers and is ready.", [
    ["", status.runtime.ready ? 1 : 0],
  ]);
  metric("skerry_pods", "gauge", "Pods this node holds, by phase.", podPhases(pods));
  if (twins) twinCounts(twins, metric);
  if (mqtt) mqttCounts(mqtt, metric);
  if (mapped) mapperCounts(mapped, metric);
  if (dmi) dmiCounts(dmi, metric);
  metric("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", [
    ["", process.residentBytes],
  ]);
  metric("skerry_heap_used_bytes", "gauge", "JavaScript heap in use in bytes.", [
    ["", process.heapUsedBytes],
  ]);
  metric("skerry_uptime_seconds", "gauge", "Seconds since this program started.", [
    ["", process.uptimeSeconds],
  ]);
  return out.join("\n") + "\n";
}

type MetricWriter = (
  name: string,
  type: "gauge" | "counter",
  help: string,
  rows: [string, number][],
) => void;

const DISK_TROUBLES = ["full", "read-only", "failed", "slow", "bulk"] as const;

function diskMetrics({ store, diskBudget }: EdgeStatus, metric: MetricWriter): void {
  metric(
    "skerry_disk_problem",
    "gauge",
    "1 for what keeps the store from writing just now.",
    DISK_TROUBLES.map((kind) => [`{kind="${kind}"}`, store.problem?.kind === kind ? 1 : 0]),
  );
  if (!diskBudget) return;
  const { limitBytes, writtenBytes, totals } = diskBudget;
  metric(
    "skerry_disk_written_bytes_total",
    "counter",
    "Bytes the store has written to the disk since it was made, by kind.",
    Object.entries(totals).map(([kind, bytes]) => [`{kind="${kind}"}`, bytes]),
  );
  metric("skerry_disk_budget_bytes", "gauge", "What may be written to the disk in a day.", [
    ["", limitBytes],
  ]);
  metric(
    "skerry_disk_budget_written_bytes",
    "gauge",
    "Written to the disk in the last 24 hours of operation.",
    [["", writtenBytes]],
  );
}

function linkTraffic({ traffic = {} }: EdgeStatus, metric: MetricWriter): void {
  const rows = (of: "messages" | "bytes"): [string, number][] =>
    Object.entries(traffic).flatMap(([name, { up, down }]): [string, number][] => [
      [`{class="${name}",direction="up"}`, up[of]],
      [`{class="${name}",direction="down"}`, down[of]],
    ]);
  metric("skerry_link_messages_total", "counter", "Messages on the link.", rows("messages"));
  metric(
    "skerry_link_bytes_total",
    "counter",
    "Bytes of messages on the link, before compression and TLS.",
    rows("bytes"),
  );
}

function podPhases(pods: Pod[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const phase of ["Pending", "Running", "Succeeded", "Failed"]) counts.set(phase, 0);
  for (const pod of pods) {
    const phase = pod.status?.phase ?? "Pending";
    counts.set(phase, (counts.get(phase) ?? 0) + 1);
  }
  return [...counts].map(([phase, count]) => [`{phase="${phase}"}`, count]);
}

function twinCounts(
  { devices, changes, rejections, waiting }: TwinCounts,
  metric: MetricWriter,
): void {
  metric("skerry_devices", "gauge", "Devices this node holds.", [["", devices]]);
  metric(
    "skerry_twin_changes_total",
    "counter",
    "Changes of twins and of states of devices, by kind.",
    Object.entries(changes).map(([kind, count]) => [`{kind="${kind}"}`, count]),
  );
  metric(
    "skerry_twin_rejections_total",
    "counter",
    "Commands, or properties of them, that were refused, by rule.",
    Object.entries(rejections).map(([rule, count]) => [`{rule="${rule}"}`, count]),
  );
  metric("skerry_twin_commands_waiting", "gauge", "Commands that wait for their device.", [
    ["", waiting],
  ]);
}

function mqttCounts(
  { clients, messages, requests, dropped, pauses, waiting, kept }: MqttCounts,
  metric: MetricWriter,
): void {
  metric("skerry_mqtt_clients", "gauge", "Clients of the embedded broker.", [["", clients]]);
  metric(
    "skerry_mqtt_messages_total",
    "counter",
    "Messages from clients (in), and of the node itself (out).",
    Object.entries(messages).map(([way, count]) => [`{direction="${way}"}`, count]),
  );
  metric(
    "skerry_mqtt_requests_total",
    "counter",
    "Requests for twins, states and membership, by kind and code of the answer.",
    Object.entries(requests).map(([key, count]) => {
      const [kind, code] = key.split(" ");
      return [`{kind="${kind}",code="${code}"}`, count];
    }),
  );
  metric(
    "skerry_mqtt_dropped_total",
    "counter",
    "Connections, messages and subscriptions that were refused, by reason.",
    Object.entries(dropped).map(([reason, count]) => [`{reason="${reason}"}`, count]),
  );
  metric("skerry_mqtt_pauses_total", "counter", "Times a client that sent too fast was held.", [
    ["", pauses],
  ]);
  metric("skerry_mqtt_waiting", "gauge", "Messages an external broker has not acknowledged.", [
    ["", waiting],
  ]);
  if (!kept) return;
  metric(
    "skerry_mqtt_kept",
    "gauge",
    "Sessions, messages that wait for them, and retained messages of the embedded broker.",
    Object.entries(kept).map(([what, count]) => [`{kind="${what}"}`, count]),
  );
}

/** The mappers of this program. */
function mapperCounts(counts: MapperCounts, metric: MetricWriter): void {
  const { devices, connections, reads, writes, skipped, failures, lateMsMax } = counts;
  const gauge = (name: string, help: string, value: number) =>
    metric(`skerry_mapper_${name}`, "gauge", help, [["", value]]);
  const counter = (name: string, help: string, value: number) =>
    metric(`skerry_mapper_${name}_total`, "counter", help, [["", value]]);
  gauge("devices", "Devices a built-in mapper speaks to.", devices);
  gauge("connections", "Connections of built-in mappers.", connections);
  counter("reads", "Times a device was read.", reads);
  counter("writes", "Values written to devices.", writes);
  counter("skipped", "Cycles that were due while the device's last one still ran.", skipped);
  counter("failures", "Times a device could not be reached, or was lost.", failures);
  gauge("late_ms_max", "How late a cycle began at worst, in ms.", Math.round(lateMsMax));
}

/** The mappers outside this program. */
function dmiCounts(
  { calls, served, waiting, refused, mappers }: DmiCounts,
  metric: MetricWriter,
): void {
  metric("skerry_dmi_calls_total", "counter", "Calls of mappers by DMI.", [["", calls]]);
  metric("skerry_dmi_calls_in_flight", "gauge", "Calls of mappers under way, by state.", [
    [`{state="served"}`, served],
    [`{state="waiting"}`, waiting],
  ]);
  metric("skerry_dmi_calls_refused_total", "counter", "Calls that came on top of too many.", [
    ["", refused],
  ]);
  metric("skerry_dmi_mappers", "gauge", "Mappers that have registered.", [["", mappers]]);
}
