/**
 * Devices with a number called `level`, each behind a server of another protocol, that can be ended
 * and started anew where they were. What a device holds is asked past the edge.
 */
import { fromFileUrl, join } from "@std/path";
import type { MqttClient } from "mqtt";
import { AppError } from "../../shared/errors.ts";
import { type Child, must, startChild, which } from "./process.ts";
import { opcuaPython } from "./requirements.ts";

export interface Peer {
  name: string;
  protocolName: string;
  /** Of the device, and of its property `level`. */
  configData: () => Record<string, unknown>;
  visitor: Record<string, unknown>;
  initial: number;
  /** Undefined where nobody can be asked. */
  level?: () => Promise<number | undefined>;
  /** Says its level by itself: a device by MQTT that is silent is taken for one that is away. */
  speak?: () => Promise<unknown>;
  start(): Promise<void>;
  /** False where it has no server to lose. */
  stop(): Promise<void>;
  losesServer: boolean;
}

const SERVERS = new URL(".", import.meta.url);
const START_MS = 120_000;
/** A server that is started anew has a log of its own, in which nothing of the last one stands. */
let starts = 0;

export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

export function simulatorPeer(): Peer {
  return {
    name: "simulated",
    protocolName: "simulator",
    configData: () => ({}),
    visitor: { value: 7 },
    initial: 7,
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    losesServer: false,
  };
}

export function httpPeer(): Peer {
  const port = freePort();
  let server: Deno.HttpServer | undefined;
  let level = 7;
  return {
    name: "rest",
    protocolName: "http",
    configData: () => ({ url: `http://127.0.0.1:${port}/`, token: "secret" }),
    visitor: { path: "state", jsonPath: "level", writeMethod: "PUT", body: '{"level":{{value}}}' },
    initial: 7,
    level: () => Promise.resolve(level),
    start: () => {
      level = 7;
      server = Deno.serve({ hostname: "127.0.0.1", port, onListen: () => {} }, async (request) => {
        if (request.headers.get("authorization") !== "Bearer secret") {
          return new Response(null, { status: 401 });
        }
        if (request.method === "PUT") level = Object(await request.json()).level;
        return Response.json({ level });
      });
      return Promise.resolve();
    },
    stop: async () => await server?.shutdown(),
    losesServer: true,
  };
}

/** A lamp that says what it was told; `broker` is the URL of where it lives. */
export function mqttPeer(name: string, broker: () => string, own?: { dir: string }): Peer {
  let client: MqttClient | undefined;
  let mosquitto: Child | undefined;
  let level = 7;
  const say = () => client?.publishAsync(`${name}/state`, JSON.stringify({ level }), STATE);
  const visitor = { topic: `${name}/state`, jsonPath: "level", commandTopic: `${name}/set` };
  return {
    name,
    protocolName: "mqtt",
    configData: () => own ? { url: broker() } : {},
    visitor: { ...visitor, body: '{"level":{{value}}}' },
    initial: 7,
    level: () => Promise.resolve(level),
    speak: async () => await say()?.catch(() => {}),
    start: async () => {
      if (own) mosquitto = await startMosquitto(own.dir, Number(new URL(broker()).port));
      level = 7;
      const { default: mqtt } = await import("mqtt");
      const lamp = client = await mqtt.connectAsync(broker());
      lamp.on("error", () => {}); // its broker is ended under it
      lamp.on("message", (_topic, payload) => {
        level = JSON.parse(payload.toString()).level;
        void say()?.catch(() => {}); // it is asked to speak again
      });
      await lamp.subscribeAsync(`${name}/set`, { qos: 1 });
      await say();
    },
    stop: async () => {
      await client?.endAsync(true);
      await mosquitto?.stop();
    },
    losesServer: own !== undefined,
  };
}

const STATE = { qos: 1, retain: true } as const;

async function startMosquitto(dir: string, port: number): Promise<Child> {
  const file = join(dir, "mosquitto.conf");
  await Deno.writeTextFile(file, `listener ${port} 127.0.0.1\nallow_anonymous true\nuser root\n`);
  const command = await which("mosquitto") ?? "mosquitto";
  const child = await startChild({
    name: `mosquitto-${++starts}`,
    command,
    args: ["-c", file],
    logDir: dir,
  });
  await child.waitFor("its port", async () => {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  });
  return child;
}

const AT = 10;

/** A serial line whose other end is a server. */
export function serialPeer(dir: string): Peer {
  const serialPort = join(dir, "tty");
  const server = fromFileUrl(new URL("modbus_server.ts", SERVERS));
  let port = 0;
  const children: Child[] = [];
  return {
    name: "serial",
    protocolName: "modbus",
    configData: () => ({ serialPort, baudRate: 115200, parity: "none", slaveID: 1 }),
    visitor: { register: "HoldingRegister", offset: AT, limit: 1 },
    initial: AT,
    level: async () => {
      using connection = await Deno.connect({ hostname: "127.0.0.1", port });
      // its frame and checksum are written here: no library's word for it
      await connection.write(new Uint8Array([1, 3, 0, AT, 0, 1, 0xa4, 0x08]));
      const answer = new Uint8Array(16);
      const length = await connection.read(answer) ?? 0;
      return length >= 5 ? new DataView(answer.buffer).getUint16(3) : undefined;
    },
    start: async () => {
      const served = await startChild({
        name: `rtu-${++starts}`,
        command: Deno.execPath(),
        args: ["run", "-A", "--quiet", "--no-check", server, "rtu-over-tcp", "100"],
        logDir: dir,
      });
      children.push(served);
      port = Number((await served.waitForLine(/^listening (\d+)/, START_MS))[1]);
      const args = [`pty,raw,echo=0,link=${serialPort}`, `tcp:127.0.0.1:${port}`];
      const wire = await startChild({
        name: `socat-${starts}`,
        command: "socat",
        args,
        logDir: dir,
      });
      children.push(wire);
      await wire.waitFor("its line", () => Deno.stat(serialPort).then(() => true));
    },
    stop: async () => {
      for (const child of children.splice(0).reverse()) await child.stop();
    },
    losesServer: true,
  };
}

/** With encryption, a user, and certificates made by both sides. */
export function opcuaPeer(dir: string): Peer {
  const port = freePort();
  const url = `opc.tcp://127.0.0.1:${port}/`;
  const nodeID = "ns=2;s=count";
  let server: Child | undefined;
  return {
    name: "machine",
    protocolName: "opcua",
    configData: () => ({ url, securityMode: "SignAndEncrypt", userName: "u", password: "p" }),
    visitor: { nodeID },
    initial: -7,
    level: async () => {
      const client = fromFileUrl(new URL("opcua_read.py", SERVERS));
      return Number(await must(opcuaPython(), [client, url, nodeID]));
    },
    start: async () => {
      server = await startChild({
        name: `opcua-${++starts}`,
        command: opcuaPython(),
        args: [fromFileUrl(new URL("opcua_server.py", SERVERS)), String(port), dir],
        logDir: dir,
      });
      await server.waitForLine(/^listening/, START_MS);
    },
    stop: async () => {
      if (!server) throw new AppError("internal", "The OPC UA server has not begun");
      await server.stop();
    },
    losesServer: true,
  };
}
