/**
 * A node's `/metrics/resource` as numbers: what metrics-server takes from it, and nothing else.
 * Pure. Lines that are not such samples are passed over: a node may tell more than is read here.
 */

/** A counter and a level at one moment of the node's own clock. */
export interface UsagePoint {
  atMs: number;
  cpuSeconds: number;
  memoryBytes: number;
}

export interface ContainerPoint extends UsagePoint {
  /** Seconds since 1970; undefined where the node does not say. */
  startSeconds?: number;
}

export interface Scrape {
  node: UsagePoint | undefined;
  /** By "namespace/pod", then by container. */
  pods: Map<string, Map<string, ContainerPoint>>;
}

interface Draft {
  atMs?: number;
  cpuSeconds?: number;
  memoryBytes?: number;
  startSeconds?: number;
}

const SAMPLE = /^([a-z_]+)(?:\{([^}]*)\})? (\S+)(?: (\d+))?$/;

const FIELDS: Readonly<Record<string, "cpuSeconds" | "memoryBytes" | "startSeconds">> = {
  node_cpu_usage_seconds_total: "cpuSeconds",
  node_memory_working_set_bytes: "memoryBytes",
  container_cpu_usage_seconds_total: "cpuSeconds",
  container_memory_working_set_bytes: "memoryBytes",
  container_start_time_seconds: "startSeconds",
};

/** Samples without a timestamp are of the moment `askedAtMs`. */
export function parseScrape(text: string, askedAtMs: number): Scrape {
  const node: Draft = {};
  const containers = new Map<string, Map<string, Draft>>();
  for (const line of text.split("\n")) {
    const [, name = "", labels = "", number = "", time] = SAMPLE.exec(line) ?? [];
    const field = FIELDS[name];
    const value = Number(number);
    if (!field || number === "" || !Number.isFinite(value) || value < 0) continue;
    const into = name.startsWith("node_") ? node : containerOf(containers, labels);
    if (!into) continue;
    into[field] = value;
    if (field === "cpuSeconds") into.atMs = time === undefined ? askedAtMs : Number(time);
  }
  const pods = new Map<string, Map<string, ContainerPoint>>();
  for (const [pod, parts] of containers) {
    const whole = [...parts].flatMap(([name, part]) =>
      isWhole(part) ? [[name, part] as const] : []
    );
    if (whole.length > 0) pods.set(pod, new Map(whole));
  }
  return { node: isWhole(node) ? node : undefined, pods };
}

function containerOf(
  all: Map<string, Map<string, Draft>>,
  labels: string,
): Draft | undefined {
  const [container, namespace, pod] = ["container", "namespace", "pod"].map((name) =>
    new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1]
  );
  if (!container || !namespace || !pod) return undefined;
  const key = `${namespace}/${pod}`;
  const ofPod = all.get(key) ?? new Map<string, Draft>();
  all.set(key, ofPod);
  const found = ofPod.get(container) ?? {};
  ofPod.set(container, found);
  return found;
}

function isWhole(part: Draft): part is ContainerPoint {
  return part.atMs !== undefined && part.cpuSeconds !== undefined && part.memoryBytes !== undefined;
}
