/**
 * kubelet's `/metrics/resource` from the stats summary: the names, labels and timestamps that
 * metrics-server and Prometheus read. Pure. A container without cpu or memory is left out whole, or
 * metrics-server would drop its pod.
 */
import type { ContainerStats, PodStats, Summary } from "../../../shared/k8s/stats_summary.ts";

export const RESOURCE_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

interface Sample {
  labels: string;
  value: number;
  atMs?: number | undefined;
}

interface Family {
  name: string;
  type: "counter" | "gauge";
  help: string;
  samples: Sample[];
}

/** `summary` undefined: nothing could be read, and that is what is said. */
export function renderResourceMetrics(summary: Summary | undefined): string {
  const failed = summary ? 0 : 1;
  const families: Family[] = [
    ...containerFamilies(summary?.pods ?? []),
    ...nodeFamilies(summary),
    ...podFamilies(summary?.pods ?? []),
    {
      name: "resource_scrape_error",
      type: "gauge",
      help: "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
      samples: [{ labels: "", value: failed }],
    },
    {
      name: "scrape_error",
      type: "gauge",
      help: "[ALPHA] (Deprecated since 1.29.0) 1 if there was an error while getting container " +
        "metrics, 0 otherwise",
      samples: [{ labels: "", value: failed }],
    },
  ];
  return families.filter(({ samples }) => samples.length > 0).map(render).join("");
}

function render({ name, type, help, samples }: Family): string {
  const lines = samples.map(({ labels, value, atMs }) =>
    `${name}${labels} ${value}${atMs === undefined ? "" : ` ${atMs}`}`
  );
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ""].join("\n");
}

const seconds = (nanos: number) => nanos / 1e9;
const moment = (time: string) => Date.parse(time);

function containerFamilies(pods: readonly PodStats[]): Family[] {
  const all = pods.flatMap((pod) =>
    pod.containers.filter(isWhole).map((container) => ({
      container,
      labels: `{container="${container.name}",namespace="${pod.podRef.namespace}",` +
        `pod="${pod.podRef.name}"}`,
    }))
  );
  return [
    {
      name: "container_cpu_usage_seconds_total",
      type: "counter",
      help: "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
      samples: all.flatMap(({ container: { cpu }, labels }) => cpuSample(cpu, labels)),
    },
    {
      name: "container_memory_working_set_bytes",
      type: "gauge",
      help: "[STABLE] Current working set of the container in bytes",
      samples: all.flatMap(({ container: { memory }, labels }) => memorySample(memory, labels)),
    },
    {
      name: "container_start_time_seconds",
      type: "gauge",
      help: "[STABLE] Start time of the container since unix epoch in seconds",
      samples: all.flatMap(({ container: { startTime }, labels }) =>
        startTime === null ? [] : [{ labels, value: moment(startTime) / 1_000 }]
      ),
    },
    {
      name: "container_swap_usage_bytes",
      type: "gauge",
      help: "[ALPHA] Current amount of the container swap usage in bytes. Reported only on " +
        "non-windows systems",
      samples: all.flatMap(({ container: { swap }, labels }) => swapSample(swap, labels)),
    },
  ];
}

function isWhole({ cpu, memory }: ContainerStats): boolean {
  return cpu?.usageCoreNanoSeconds !== undefined && memory?.workingSetBytes !== undefined;
}

function nodeFamilies(summary: Summary | undefined): Family[] {
  const { cpu, memory, swap } = summary?.node ?? {};
  return [
    {
      name: "node_cpu_usage_seconds_total",
      type: "counter",
      help: "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
      samples: cpuSample(cpu, ""),
    },
    {
      name: "node_memory_working_set_bytes",
      type: "gauge",
      help: "[STABLE] Current working set of the node in bytes",
      samples: memorySample(memory, ""),
    },
    {
      name: "node_swap_usage_bytes",
      type: "gauge",
      help: "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems",
      samples: swapSample(swap, ""),
    },
  ];
}

function podFamilies(pods: readonly PodStats[]): Family[] {
  const labelsOf = ({ podRef: { namespace, name } }: PodStats) =>
    `{namespace="${namespace}",pod="${name}"}`;
  return [
    {
      name: "pod_cpu_usage_seconds_total",
      type: "counter",
      help: "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
      samples: pods.flatMap((pod) => cpuSample(pod.cpu, labelsOf(pod))),
    },
    {
      name: "pod_memory_working_set_bytes",
      type: "gauge",
      help: "[STABLE] Current working set of the pod in bytes",
      samples: pods.flatMap((pod) => memorySample(pod.memory, labelsOf(pod))),
    },
    {
      name: "pod_swap_usage_bytes",
      type: "gauge",
      help: "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows " +
        "systems",
      samples: pods.flatMap((pod) => swapSample(pod.swap, labelsOf(pod))),
    },
  ];
}

function cpuSample(
  cpu: { time: string; usageCoreNanoSeconds?: number } | undefined,
  labels: string,
): Sample[] {
  if (cpu?.usageCoreNanoSeconds === undefined) return [];
  return [{ labels, value: seconds(cpu.usageCoreNanoSeconds), atMs: moment(cpu.time) }];
}

function memorySample(
  memory: { time: string; workingSetBytes?: number } | undefined,
  labels: string,
): Sample[] {
  if (memory?.workingSetBytes === undefined) return [];
  return [{ labels, value: memory.workingSetBytes, atMs: moment(memory.time) }];
}

function swapSample(
  swap: { time: string; swapUsageBytes?: number } | undefined,
  labels: string,
): Sample[] {
  if (swap?.swapUsageBytes === undefined) return [];
  return [{ labels, value: swap.swapUsageBytes, atMs: moment(swap.time) }];
}
