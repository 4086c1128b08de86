/**
 * `deno task bench mqtt [UPDATES, default 10 000]`: twin updates by MQTT to the compiled edge,
 * each durable before its answer, and plain messages of QoS 1 through its embedded broker and
 * through mosquitto in the same run: to a client that is there, to a session that is there, and for
 * a session that is away (on disk before the acknowledgement here, in memory at mosquitto). The
 * clients are this process.
 */
import { join } from "@std/path";
import { connect, connectAsync, type MqttClient } from "mqtt";
import { SystemClock } from "../../shared/clock.ts";
import {
  deviceName,
  DeviceNode,
  NAMESPACE,
  PROPERTIES,
  propertyName,
} from "../../tests/support/device_node.ts";
import { percentile } from "../../tests/support/http_load.ts";
import { freePort, startMosquitto } from "../../tests/support/mqtt.ts";
import { startChild } from "../../tests/support/process.ts";
import { builtPrograms } from "./built_programs.ts";
import { memoryOf } from "./memory.ts";
import type { BenchOptions, BenchResult, Metric } from "./result.ts";

const DEVICES = 500;
const UPDATES = 10_000;
const MESSAGES = 10_000;
/** The last one counts: a broker runs for months, and its code is compiled as it runs. */
const ROUNDS = 4;
const CLIENTS = 8;
const IN_FLIGHT = 64;
const RESULTS = "$hw/events/device/+/+/twin/update/result";

const clock = new SystemClock();

export async function run({ workDir, args, signal }: BenchOptions): Promise<BenchResult> {
  const updates = Number(args[0] ?? UPDATES);
  const node = await DeviceNode.open(join(workDir, "store"), "bench");
  await node.fill(DEVICES);
  await node.close();
  await Deno.writeTextFile(join(workDir, "edge.yaml"), configOf(workDir));
  const edge = await startChild({
    name: "edge",
    command: (await builtPrograms()).edge,
    args: ["run", "--data-dir", workDir],
    logDir: workDir,
  });
  const port = freePort();
  const mosquitto = await startMosquitto(workDir, port, [
    "allow_anonymous true",
    "max_queued_messages 0",
  ]);
  try {
    const url = await edge.waitFor("its broker", async () => {
      const text = await Deno.readTextFile(join(workDir, "addresses.json"));
      return JSON.parse(text).mqtt as string | undefined; // absent until it listens
    }, 60_000);
    const metrics: Metric[] = [];
    await withClients(url, async (clients) => {
      metrics.push(...await benchTwins(clients, updates));
    });
    signal.throwIfAborted();
    for (const [name, at] of [["embedded", url], ["mosquitto", `mqtt://127.0.0.1:${port}`]]) {
      for (let round = 1; round <= ROUNDS; round++) {
        await withClients(at ?? "", async (clients) => {
          const measured = await benchPlain(clients, name ?? "");
          if (round === ROUNDS) metrics.push(...measured);
        });
      }
      metrics.push(...await benchSession(at ?? "", name ?? ""));
      if (name === "embedded") metrics.push(...await benchAway(at ?? "", "embedded, on disk"));
      else metrics.push(...await benchAway(at ?? "", "mosquitto, in memory"));
    }
    const { pssMb } = await memoryOf(edge.pid);
    metrics.push({ name: "edge after the load, PSS", value: pssMb, unit: "MB" });
    const load = Deno.loadavg()[0] ?? 0;
    return { bench: "mqtt", metrics, notes: { devices: DEVICES, clients: CLIENTS, load } };
  } finally {
    await edge.stop();
    await mosquitto.stop();
  }
}

async function withClients(
  url: string,
  work: (clients: MqttClient[]) => Promise<void>,
): Promise<void> {
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connectAsync(url)));
  try {
    await work(clients);
  } finally {
    await Promise.all(clients.map((client) => client.endAsync(true)));
  }
}

/** From an update to its answer; the first client hears them all. */
async function benchTwins(clients: MqttClient[], updates: number): Promise<Metric[]> {
  const open = new Map<string, () => void>();
  clients[0]?.on("message", (_topic, payload) => {
    const { event_id, code } = JSON.parse(payload.toString());
    if (code !== undefined) throw new Error(`An update was refused: ${payload}`);
    open.get(event_id)?.();
    open.delete(event_id);
  });
  await clients[0]?.subscribeAsync(RESULTS, { qos: 0 });
  const { perSecond, latencies } = await drive(updates, async (index) => {
    const device = deviceName(index * 7_919 % DEVICES);
    const value = (index * 131 % 100_003 / 1_000).toFixed(3);
    const twin = { [propertyName(index % PROPERTIES)]: { actual: { value } } };
    const event = String(index);
    const answered = new Promise<void>((resolve) => open.set(event, resolve));
    await clients[index % CLIENTS]?.publishAsync(
      `$hw/events/device/${NAMESPACE}/${device}/twin/update`,
      JSON.stringify({ event_id: event, twin }),
      { qos: 1 },
    );
    await answered;
  });
  return metricsOf("twin updates", perSecond, latencies);
}

/** From a publication to its acknowledgement; one client hears them all, and that is waited for. */
async function benchPlain(clients: MqttClient[], name: string): Promise<Metric[]> {
  const [listener, ...senders] = clients;
  const all = Promise.withResolvers<void>();
  let heard = 0;
  listener?.on("message", () => ++heard === MESSAGES && all.resolve());
  await listener?.subscribeAsync("bench/#", { qos: 1 });
  const payload = "x".repeat(100);
  const beginMs = clock.monotonicMs();
  const { latencies } = await drive(MESSAGES, async (index) => {
    await senders[index % senders.length]?.publishAsync(`bench/${index % 10}`, payload, { qos: 1 });
  });
  await all.promise;
  const perSecond = MESSAGES / ((clock.monotonicMs() - beginMs) / 1_000);
  return metricsOf(`QoS 1 through ${name}`, perSecond, latencies);
}

/** The listener is a session that outlives its connection, and is there. */
async function benchSession(url: string, name: string): Promise<Metric[]> {
  const session = { clientId: "bench-there", clean: false };
  const listener = await connectAsync(url, session);
  let metrics: Metric[] = [];
  await withClients(url, async ([, ...senders]) => {
    metrics = await benchPlain([listener, ...senders], `${name} to a session`);
  });
  await listener.unsubscribeAsync("bench/#");
  await listener.endAsync();
  return metrics;
}

/** Acknowledged while nobody is there; then the session takes it all. */
async function benchAway(url: string, name: string): Promise<Metric[]> {
  const session = { clientId: "bench-away", clean: false };
  const before = await connectAsync(url, session);
  await before.subscribeAsync("away/#", { qos: 1 });
  await before.endAsync();
  const payload = "x".repeat(100);
  const metrics: Metric[] = [];
  await withClients(url, async (senders) => {
    const { perSecond, latencies } = await drive(MESSAGES, async (index) => {
      await senders[index % CLIENTS]?.publishAsync(`away/${index % 10}`, payload, { qos: 1 });
    });
    metrics.push(...metricsOf(`QoS 1 kept for a session (${name})`, perSecond, latencies));
  });
  const all = Promise.withResolvers<void>();
  let heard = 0;
  const beginMs = clock.monotonicMs();
  const back = connect(url, session);
  back.on("message", () => ++heard === MESSAGES && all.resolve());
  await all.promise;
  const perSecond = MESSAGES / ((clock.monotonicMs() - beginMs) / 1_000);
  metrics.push({ name: `taken by the session (${name})`, value: perSecond, unit: "1/s" });
  await back.unsubscribeAsync("away/#");
  await back.endAsync();
  return metrics;
}

async function drive(
  count: number,
  one: (index: number) => Promise<void>,
): Promise<{ perSecond: number; latencies: number[] }> {
  const latencies: number[] = [];
  let next = 0;
  const beginMs = clock.monotonicMs();
  await Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
    for (let i = next++; i < count; i = next++) {
      const oneMs = clock.monotonicMs();
      await one(i);
      latencies.push(clock.monotonicMs() - oneMs);
    }
  }));
  const perSecond = count / ((clock.monotonicMs() - beginMs) / 1_000);
  return { perSecond, latencies: latencies.sort((a, b) => a - b) };
}

function metricsOf(what: string, perSecond: number, latencies: number[]): Metric[] {
  return [
    { name: what, value: perSecond, unit: "1/s" },
    { name: `${what}: p50`, value: percentile(latencies, 0.5), unit: "ms" },
    { name: `${what}: p99`, value: percentile(latencies, 0.99), unit: "ms" },
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
    'mqtt: { listen: "127.0.0.1:0", limits: { queuedMessages: 20000 } }',
    `dmi: { socket: ${dataDir}/dmi.sock }`,
    `runtime: { endpoint: "unix://${dataDir}/none.sock" }`,
    `pods: { logsDir: ${dataDir}/logs }`,
    "",
  ].join("\n");
}
