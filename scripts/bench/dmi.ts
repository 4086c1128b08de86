/**
 * `deno task bench dmi [DEVICES, default 1 000]`: twins reported over DMI by a mapper (this
 * process) to the compiled edge, durable before the answer: many twins in one call, one twin in
 * each (one call after the other, some and many at once), and one connection for each call as
 * KubeEdge's mapper framework makes them. What a call costs the edge, and how long a registration
 * with all devices takes. One call after the other is as fast as this disk's fdatasync at best.
 */
import net from "node:net";
import { join } from "@std/path";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { SystemClock } from "../../shared/clock.ts";
import { DeviceManagerService } from "../../shared/gen/v1beta1/api_pb.ts";
import { deviceName, DeviceNode, NAMESPACE, PROPERTIES } from "../../tests/support/device_node.ts";
import { propertyName } from "../../tests/support/device_node.ts";
import { percentile } from "../../tests/support/http_load.ts";
import { startChild } from "../../tests/support/process.ts";
import { builtPrograms } from "./built_programs.ts";
import { memoryOf } from "./memory.ts";
import type { BenchOptions, BenchResult, Metric } from "./result.ts";

const DEVICES = 1_000;
const PROTOCOL = "acme";
/** Values of each property in one report of many twins. */
const VALUES = 10;
const BATCH_CALLS = 400;
const SINGLE_CALLS = 10_000;
/** Kernel's ticks of CPU time. */
const TICK_MS = 10;
const DIALED_CALLS = 500;
const KUBEEDGE = "KubeEdge 1 call/s";

const clock = new SystemClock();
type DmiClient = Client<typeof DeviceManagerService>;

export async function run({ workDir, args, signal }: BenchOptions): Promise<BenchResult> {
  const devices = Number(args[0] ?? DEVICES);
  const socket = join(workDir, "dmi.sock");
  const node = await DeviceNode.open(join(workDir, "store"), PROTOCOL);
  await node.fill(devices);
  await node.close();
  await Deno.writeTextFile(join(workDir, "edge.yaml"), configOf(workDir, socket));
  const edge = await startChild({
    name: "edge",
    command: (await builtPrograms()).edge,
    args: ["run", "--data-dir", workDir],
    logDir: workDir,
  });
  try {
    await edge.waitForJson(join(workDir, "addresses.json"), 60_000);
    const client = clientOf(sessionsOf(socket));
    const metrics: Metric[] = [
      await benchRegister(client, workDir),
      ...await benchReports(edge.pid, client, {
        devices,
        calls: BATCH_CALLS,
        inFlight: 8,
        many: true,
      }),
    ];
    for (const inFlight of [1, 8, 16, 64]) {
      const calls = inFlight === 1 ? SINGLE_CALLS / 5 : SINGLE_CALLS;
      const load = { devices, calls, inFlight, many: false };
      metrics.push(...await benchReports(edge.pid, client, load));
    }
    metrics.push(
      await benchDialing(socket, devices),
    );
    signal.throwIfAborted();
    const { pssMb } = await memoryOf(edge.pid);
    metrics.push({ name: "edge after the load, PSS", value: pssMb, unit: "MB" });
    const load = Deno.loadavg()[0] ?? 0;
    return { bench: "dmi", metrics, notes: { devices, properties: devices * PROPERTIES, load } };
  } finally {
    await edge.stop();
  }
}

async function benchRegister(client: DmiClient, workDir: string): Promise<Metric> {
  const beginMs = clock.monotonicMs();
  const address = new TextEncoder().encode(join(workDir, "mapper.sock"));
  await client.mapperRegister({
    withData: true,
    mapper: { name: "b", protocol: PROTOCOL, address },
  });
  return { name: "registration with data", value: clock.monotonicMs() - beginMs, unit: "ms" };
}

interface Load {
  devices: number;
  calls: number;
  inFlight: number;
  /** Many twins in a call, or one. */
  many: boolean;
}

async function benchReports(pid: number, client: DmiClient, load: Load): Promise<Metric[]> {
  const { devices, calls, inFlight, many } = load;
  const cpuBeforeMs = await cpuMsOf(pid);
  const latencies: number[] = [];
  let next = 0;
  let twins = 0;
  const beginMs = clock.monotonicMs();
  await Promise.all(Array.from({ length: inFlight }, async () => {
    for (let i = next++; i < calls; i = next++) {
      const callMs = clock.monotonicMs();
      const request = requestOf(i, devices, many);
      await client.reportDeviceStatus(request);
      latencies.push(clock.monotonicMs() - callMs);
      twins += request.reportedDevice.twins.length;
    }
  }));
  const perSecond = twins / ((clock.monotonicMs() - beginMs) / 1_000);
  const cpuMs = (await cpuMsOf(pid) - cpuBeforeMs) / calls;
  latencies.sort((a, b) => a - b);
  const twinsPerCall = many ? `${PROPERTIES * VALUES} twins` : "one twin";
  const what = `${twinsPerCall} in a call, ${inFlight} at once`;
  const goal = { goal: inFlight === 1 ? 1_500 : 5_000, better: "more" as const, beside: KUBEEDGE };
  return [
    { name: `${what}: twins`, value: perSecond, unit: "1/s", ...goal },
    { name: `${what}: CPU of the edge a call`, value: cpuMs, unit: "ms" },
    { name: `${what}: p50`, value: percentile(latencies, 0.5), unit: "ms" },
    { name: `${what}: p99`, value: percentile(latencies, 0.99), unit: "ms" },
  ];
}

async function benchDialing(socket: string, devices: number): Promise<Metric> {
  const beginMs = clock.monotonicMs();
  for (let i = 0; i < DIALED_CALLS; i++) {
    const sessions = sessionsOf(socket);
    await clientOf(sessions).reportDeviceStatus(requestOf(i + 7, devices, false));
    sessions.abort();
  }
  const seconds = (clock.monotonicMs() - beginMs) / 1_000;
  return { name: "one after the other, dialed anew", value: DIALED_CALLS / seconds, unit: "1/s" };
}

async function cpuMsOf(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

function requestOf(index: number, devices: number, many: boolean) {
  const value = (at: number) => ({ value: ((index * 131 + at) % 100_003 / 1_000).toFixed(3) });
  const twins = Array.from({ length: many ? PROPERTIES * VALUES : 1 }, (_, at) => ({
    propertyName: propertyName((many ? at : index) % PROPERTIES),
    reported: value(at),
  }));
  return {
    deviceName: deviceName(index * 7_919 % devices),
    deviceNamespace: NAMESPACE,
    reportedDevice: { twins },
  };
}

function sessionsOf(socket: string): Http2SessionManager {
  const createConnection = () => net.connect(socket);
  return new Http2SessionManager("http://localhost", {}, { createConnection });
}

function clientOf(sessionManager: Http2SessionManager): DmiClient {
  const baseUrl = "http://localhost";
  return createClient(DeviceManagerService, createGrpcTransport({ baseUrl, sessionManager }));
}

function configOf(dataDir: string, socket: string): string {
  return [
    "apiVersion: config.skerry.dev/v1alpha1",
    "kind: EdgeConfig",
    "nodeName: bench",
    `dataDir: ${dataDir}`,
    "cloud: { addresses: [] }",
    'api: { listen: "127.0.0.1:0" }',
    'mqtt: { listen: "127.0.0.1:0" }',
    `dmi: { socket: ${socket} }`,
    `runtime: { endpoint: "unix://${dataDir}/none.sock" }`,
    `pods: { logsDir: ${dataDir}/logs }`,
    "",
  ].join("\n");
}
