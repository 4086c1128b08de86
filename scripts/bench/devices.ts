/**
 * `deno task bench devices [DEVICES, default 10 000]`: twins of many devices with ten properties
 * each on a real disk. First the engine alone, in this process: updates that are synced before they
 * are answered, one property each, many in flight; what they cost. Then the compiled edge on the
 * same folder: start, memory, updates and reads over HTTP.
 */
import { join } from "@std/path";
import { SystemClock } from "../../shared/clock.ts";
import { deviceName, DeviceNode, NAMESPACE, PROPERTIES } from "../../tests/support/device_node.ts";
import { propertyName } from "../../tests/support/device_node.ts";
import { loadHttp, type LoadRequest, percentile } from "../../tests/support/http_load.ts";
import { startChild } from "../../tests/support/process.ts";
import { builtPrograms } from "./built_programs.ts";
import { memoryOf } from "./memory.ts";
import type { BenchOptions, BenchResult, Metric } from "./result.ts";

const DEVICES = 10_000;
const UPDATES = 100_000;
const IN_FLIGHT = 64;
/** The pace of the goal. */
const PACE = 2_000;
const PACED_REQUESTS = 10_000;
const HTTP_REQUESTS = 20_000;
const READS = 40_000;
const CONNECTIONS = 32;
/** edge/trim.ts gives back what the start needed after 15 s. */
const SETTLE_MS = 25_000;
/** Visits devices and properties in no order. */
const STRIDE = 7_919;
/** Nobody here speaks it: what reports is what is measured, and no mapper calls at devices. */
const PROTOCOL = "bench";
const KUBEEDGE = "KubeEdge 31/s";

const clock = new SystemClock();

export async function run({ workDir, args, signal }: BenchOptions): Promise<BenchResult> {
  const devices = Number(args[0] ?? DEVICES);
  const dataDir = join(workDir, "edge");
  const inProcess = await benchEngine(join(dataDir, "store"), devices, signal);
  const edge = await benchEdge(dataDir, devices, signal);
  return {
    bench: "devices",
    metrics: [...inProcess, ...edge],
    notes: { devices, properties: devices * PROPERTIES, load: Deno.loadavg()[0] ?? 0 },
  };
}

async function benchEngine(dir: string, devices: number, signal: AbortSignal): Promise<Metric[]> {
  const node = await DeviceNode.open(dir, PROTOCOL);
  try {
    const fillS = await seconds(() => node.fill(devices));
    for (let at = 0; at < devices; at += 100) {
      const group = Array.from({ length: Math.min(100, devices - at) }, (_, i) => at + i);
      await Promise.all(group.map((device) => node.reportAll(device, "1.5")));
    }
    const metrics = await benchUpdates(node, devices, signal);
    const names = Array.from({ length: READS }, (_, i) => i * STRIDE % devices);
    const readS = await seconds(() => {
      for (const index of names) {
        node.engine.twins.twin({ namespace: NAMESPACE, name: deviceName(index) }, propertyName(3));
      }
    });
    return [
      { name: "devices defined", value: devices / fillS, unit: "1/s" },
      ...metrics,
      { name: "twin reads, in process", value: READS / readS, unit: "1/s", ...more(10_000) },
    ];
  } finally {
    await node.close();
  }
}

async function benchUpdates(
  node: DeviceNode,
  devices: number,
  signal: AbortSignal,
): Promise<Metric[]> {
  const before = node.store.stats();
  const cpuBeforeMs = await cpuMs();
  const latencies: number[] = [];
  let next = 0;
  const wallS = await seconds(() =>
    Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
      for (let i = next++; i < UPDATES; i = next++) {
        signal.throwIfAborted();
        const beginMs = clock.monotonicMs();
        await node.report(i * STRIDE % devices, i % PROPERTIES, valueOf(i));
        latencies.push(clock.monotonicMs() - beginMs);
      }
    }))
  );
  const cpu = (await cpuMs() - cpuBeforeMs) / UPDATES;
  const after = node.store.stats();
  latencies.sort((a, b) => a - b);
  const name = (what: string) => `updates, in process: ${what}`;
  return [
    { name: name("rate"), value: UPDATES / wallS, unit: "1/s", ...more(2_000), beside: KUBEEDGE },
    { name: name("p50"), value: percentile(latencies, 0.5), unit: "ms" },
    { name: name("p99"), value: percentile(latencies, 0.99), unit: "ms" },
    { name: name("CPU each"), value: cpu, unit: "ms", goal: 0.3, beside: "KubeEdge 3 ms" },
    {
      name: name("written each"),
      value: (after.bytesWritten - before.bytesWritten) / UPDATES,
      unit: "B",
      goal: 1_000,
      beside: "KubeEdge 22 kB",
    },
    { name: name("updates per sync"), value: UPDATES / (after.syncs - before.syncs), unit: "" },
    { name: name("longest snapshot pause"), value: after.snapshotPauseMsMax, unit: "ms", goal: 50 },
  ];
}

async function benchEdge(
  dataDir: string,
  devices: number,
  signal: AbortSignal,
): Promise<Metric[]> {
  const { edge: command } = await builtPrograms();
  await Deno.writeTextFile(join(dataDir, "edge.yaml"), configOf(dataDir));
  const startMs = clock.monotonicMs();
  const child = await startChild({
    name: "edge",
    command,
    args: ["run", "--data-dir", dataDir],
    logDir: dataDir,
  });
  try {
    const addresses = await child.waitForJson(join(dataDir, "addresses.json"), 60_000);
    const startS = (clock.monotonicMs() - startMs) / 1_000;
    await clock.sleep(SETTLE_MS, signal);
    const atRest = await memoryOf(child.pid);
    const server = String(Object(addresses).api);
    const token = (await Deno.readTextFile(join(dataDir, "api-token"))).trim();
    const metrics = await benchHttp({ server, token, devices, signal });
    const afterwards = await memoryOf(child.pid);
    return [
      { name: "edge start to local API", value: startS, unit: "s", goal: 2 },
      { name: "edge at rest, PSS", value: atRest.pssMb, unit: "MB", goal: 150 },
      { name: "edge at rest, anonymous", value: atRest.anonymousMb, unit: "MB" },
      ...metrics,
      { name: "edge after the load, PSS", value: afterwards.pssMb, unit: "MB" },
    ];
  } finally {
    await child.stop();
  }
}

async function benchHttp(
  { server, token, devices, signal }: {
    server: string;
    token: string;
    devices: number;
    signal: AbortSignal;
  },
): Promise<Metric[]> {
  const path = (i: number) =>
    `/v1/devices/${NAMESPACE}/${deviceName(i * STRIDE % devices)}/twins/` +
    propertyName(i % PROPERTIES);
  let salt = 0;
  const update = (i: number): LoadRequest => ({
    method: "PATCH",
    path: path(i),
    body: JSON.stringify({ reported: valueOf(i + salt) }),
  });
  const common = { server, token, connections: CONNECTIONS, signal };
  const flat = await loadHttp({ ...common, requests: HTTP_REQUESTS, make: update });
  salt = UPDATES;
  const paced = await loadHttp({
    ...common,
    requests: PACED_REQUESTS,
    perSecond: PACE,
    make: update,
  });
  const read = (i: number): LoadRequest => ({ method: "GET", path: path(i) });
  const reads = await loadHttp({ ...common, requests: READS, make: read });
  return [
    {
      name: "updates, HTTP: rate",
      value: flat.perSecond,
      unit: "1/s",
      ...more(2_000),
      beside: KUBEEDGE,
    },
    { name: `updates, HTTP, ${PACE}/s: p50`, value: percentile(paced.latencies, 0.5), unit: "ms" },
    {
      name: `updates, HTTP, ${PACE}/s: p99`,
      value: percentile(paced.latencies, 0.99),
      unit: "ms",
      goal: 20,
    },
    { name: "twin reads, HTTP", value: reads.perSecond, unit: "1/s", ...more(10_000) },
  ];
}

function configOf(dataDir: string): string {
  return [
    "apiVersion: config.skerry.dev/v1alpha1",
    "kind: EdgeConfig",
    "nodeName: bench",
    `dataDir: ${dataDir}`,
    "cloud: { addresses: [] }",
    'api: { listen: "127.0.0.1:0" }',
    `runtime: { endpoint: "unix://${dataDir}/none.sock" }`,
    `pods: { logsDir: ${dataDir}/logs }`,
    "",
  ].join("\n");
}

/** Different from the last one of the same twin. */
function valueOf(index: number): string {
  return (20 + index % 100_003 / 10_000).toFixed(4);
}

function more(goal: number): { goal: number; better: "more" } {
  return { goal, better: "more" };
}

async function seconds(work: () => unknown): Promise<number> {
  const startMs = clock.monotonicMs();
  await work();
  return (clock.monotonicMs() - startMs) / 1_000;
}

/** Processor time of this process. */
async function cpuMs(): Promise<number> {
  const stat = await Deno.readTextFile("/proc/self/stat");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
