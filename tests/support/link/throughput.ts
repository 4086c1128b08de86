/**
 * Reports per second over the real hub and link, and messages per second over MQTT QoS 1 through
 * mosquitto: both with mutual TLS by one authority, the same bytes in each message, each sender
 * alone on its connection and its server in a process of its own. A message counts when the server
 * has acknowledged it to the sender.
 */
import { fromFileUrl, join } from "@std/path";
import { connectAsync } from "mqtt";
import { enroll, type Enrolled } from "../../../edge/link/enroll.ts";
import { Link } from "../../../edge/link/link.ts";
import { TLS_TRANSPORT } from "../../../edge/link/transport.ts";
import { SystemClock } from "../../../shared/clock.ts";
import { AppError } from "../../../shared/errors.ts";
import { SystemRandom } from "../../../shared/random.ts";
import { encodeBody } from "../../../shared/wire/codec.ts";
import type { Report } from "../../../shared/wire/report.ts";
import { type Child, startChild, which } from "../process.ts";
import { MapLedger, MapOutbox } from "./doubles.ts";
import type { HubFacts } from "./hub_program.ts";
import { difference, PacketCounter, sumOf } from "./packets.ts";

/** What the hub grants a node; the MQTT client gets as much. */
const IN_FLIGHT = 512;
const CONFIG = fromFileUrl(new URL("../../../deno.json", import.meta.url));
const HUB_PROGRAM = fromFileUrl(new URL("./hub_program.ts", import.meta.url));

const clock = new SystemClock();
const random = new SystemRandom();

export interface Rate {
  perSecond: number;
  /** On the wire, both ways, IP headers counted. */
  bytesPerMessage: number;
}

/** A status of a pod with one container, as the pod agent makes it: about half a kilobyte. */
export function sampleReport(i: number): Report {
  const at = "2026-01-01T00:00:00Z";
  const condition = (type: string) => ({ type, status: "True" as const, lastTransitionTime: at });
  return {
    kind: "pod_status",
    pod: { namespace: "default", name: `pod-${i}`, uid: random.uuid() },
    status: {
      phase: "Running",
      startTime: at,
      podIP: "10.85.0.7",
      conditions: ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition),
      containerStatuses: [{
        name: "main",
        ready: true,
        restartCount: 0,
        image: "docker.io/library/busybox:1.36",
        imageID: `sha256:${i}`,
        containerID: `containerd://${random.uuid()}`,
        state: { running: { startedAt: at } },
      }],
    },
  };
}

export async function startHub(workDir: string): Promise<{ child: Child; facts: HubFacts }> {
  const child = await startChild({
    name: "hub",
    command: Deno.execPath(),
    args: ["run", "--quiet", "--frozen", "--config", CONFIG, "-A", HUB_PROGRAM, workDir],
    logDir: workDir,
  });
  const facts = await child.waitForJson(join(workDir, "hub.json"), 30_000);
  return { child, facts: facts as HubFacts }; // by our own program
}

/** Sends `count` reports over a link that is already live. */
export async function linkRate(facts: HubFacts, node: Enrolled, count: number): Promise<Rate> {
  const outbox = new MapOutbox();
  const link = new Link({
    addresses: [`127.0.0.1:${facts.port}`],
    identity: node,
    onRenewed: () => Promise.resolve(),
    transport: TLS_TRANSPORT,
    softwareVersion: "bench",
    ledger: new MapLedger(),
    outbox,
    handler: () => Promise.resolve(new Response()),
    clock,
    random,
  });
  const stop = new AbortController();
  const live = Promise.withResolvers<void>();
  link.changes.subscribe(() => link.status().state === "live" && live.resolve());
  const done = link.run(stop.signal);
  try {
    await live.promise;
    for (let i = 0; i < count; i++) outbox.put("status", `pods/${i}`, sampleReport(i));
    return await measured(facts.port, count, async () => {
      outbox.changes.notify();
      await outbox.drained();
    });
  } finally {
    stop.abort();
    await done;
  }
}

export function enrollNode(facts: HubFacts, nodeName: string): Promise<Enrolled> {
  const address = `127.0.0.1:${facts.port}`;
  return enroll({ address, token: facts.token, nodeName }, AbortSignal.timeout(30_000));
}

export async function startMosquitto(
  workDir: string,
  { authority, server }: HubFacts,
): Promise<{ child: Child; port: number }> {
  const command = await which("mosquitto");
  if (!command) throw new AppError("unavailable", "Cannot measure beside MQTT: no mosquitto here");
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr; // TCP
  listener.close();
  const file = (name: string) => join(workDir, name);
  await Deno.writeTextFile(file("ca.pem"), authority);
  await Deno.writeTextFile(file("server.pem"), server.certificate);
  await Deno.writeTextFile(file("server.key"), server.privateKey);
  const lines = [
    `listener ${port} 127.0.0.1`,
    `cafile ${file("ca.pem")}`,
    `certfile ${file("server.pem")}`,
    `keyfile ${file("server.key")}`,
    "require_certificate true",
    "use_identity_as_username true",
    "user root",
    "max_queued_messages 0",
    "log_type warning",
  ];
  await Deno.writeTextFile(file("mosquitto.conf"), lines.join("\n") + "\n");
  const args = ["-c", file("mosquitto.conf")];
  const child = await startChild({ name: "mosquitto", command, args, logDir: workDir });
  await child.waitFor("its port", async () => {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    connection.close();
    return true;
  });
  return { child, port };
}

/** Publishes `count` messages of the same bytes, as many in flight as the hub grants a node. */
export async function mqttRate(port: number, node: Enrolled, count: number): Promise<Rate> {
  const client = await connectAsync(`mqtts://127.0.0.1:${port}`, {
    ca: node.authority,
    cert: node.certificate,
    key: node.privateKey,
    protocolVersion: 5,
  });
  try {
    const bodies = Array.from({ length: count }, (_, i) => sampleReport(i));
    let next = 0;
    const sender = async () => {
      for (let i = next++; i < count; i = next++) {
        // encoded as it goes, as the link does
        const body = encodeBody(bodies[i]);
        await client.publishAsync(`skerry/pods/${i}`, body as never, { qos: 1 });
      }
    };
    return await measured(port, count, async () => {
      await Promise.all(Array.from({ length: IN_FLIGHT }, sender));
    });
  } finally {
    await client.endAsync();
  }
}

async function measured(port: number, count: number, work: () => Promise<void>): Promise<Rate> {
  await using counter = await PacketCounter.open(port);
  const startMs = clock.monotonicMs();
  await work();
  const seconds = (clock.monotonicMs() - startMs) / 1_000;
  const { bytes } = difference(sumOf(await counter.read()));
  return { perSecond: count / seconds, bytesPerMessage: bytes / count };
}
