/**
 * The event bus over real devices on a disk, mosquitto beside it, and mosquitto's own clients: what
 * the tests of edge/mqtt are made of.
 */
import { join } from "@std/path";
import { edgeConfigSchema, type MqttConfig } from "../../edge/config.ts";
import { DurableIntents } from "../../edge/intents/durable_intents.ts";
import { MqttRoom } from "../../edge/mqtt/room.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { Changes } from "../../shared/async/wakeup.ts";
import { SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { SystemRandom } from "../../shared/random.ts";
import { DeviceNode } from "./device_node.ts";
import { type Child, run, startChild, which } from "./process.ts";
import { until } from "./until.ts";

export const MQTT_NODE = "edge-mqtt";

export function mqttConfig(mqtt: object): MqttConfig {
  const listen = "127.0.0.1:0";
  return edgeConfigSchema({ nodeName: MQTT_NODE, mqtt: { listen, ...mqtt } }, "").mqtt;
}

/** Devices, their engine and the event bus, as the edge joins them. */
export class MqttNode implements AsyncDisposable {
  readonly node: DeviceNode;
  readonly room: MqttRoom;
  readonly #scope = new TaskScope();

  private constructor(node: DeviceNode, config: MqttConfig) {
    this.node = node;
    const clock = new SystemClock();
    const random = new SystemRandom();
    const { store, ledger, outbox, engine } = node;
    const twins = () => engine.twins;
    const intents = new DurableIntents({ store, outbox, ledger, clock, random, twins });
    this.room = new MqttRoom({
      config,
      nodeName: MQTT_NODE,
      twins,
      twinsChanges: new Changes(),
      intents,
      store,
      sparing: () => false,
      clock,
      random,
    });
    this.#scope.spawn("devices", (signal) => engine.run(signal));
    this.#scope.spawn("mqtt", (signal) => this.room.run(signal));
  }

  /** On the store in `dir`; with `devices`, it is filled with as many first. */
  static async start(dir: string, mqtt: object, devices = 0): Promise<MqttNode> {
    const node = await DeviceNode.open(join(dir, "store"));
    if (devices > 0) await node.fill(devices);
    return new MqttNode(node, mqttConfig(mqtt));
  }

  /** Port of the embedded broker. */
  async port(): Promise<number> {
    return await until(() => {
      const address = this.room.addresses().mqtt;
      return address === undefined ? undefined : Number(new URL(address).port);
    }, { what: "the embedded broker", timeoutMs: 30_000 });
  }

  async connected(): Promise<void> {
    await until(() => this.room.status().external?.state === "up", {
      what: "the external broker",
      timeoutMs: 30_000,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
    await this.node.close();
  }
}

export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr; // TCP
  listener.close();
  return port;
}

/** A mosquitto of one's own; `lines` go into its config. */
export async function startMosquitto(
  dir: string,
  port: number,
  lines: readonly string[] = ["allow_anonymous true"],
): Promise<Child> {
  const command = await which("mosquitto");
  if (!command) throw new AppError("unavailable", "no mosquitto here");
  const file = join(dir, "mosquitto.conf");
  const config = [`listener ${port} 127.0.0.1`, "user root", ...lines];
  await Deno.writeTextFile(file, config.join("\n") + "\n");
  const child = await startChild({ name: "mosquitto", command, args: ["-c", file], logDir: dir });
  await child.waitFor("its port", async () => {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    connection.close();
    return true;
  });
  return child;
}

export interface Heard {
  topic: string;
  text: string;
}

/** mosquitto_sub on some topics; what it hears, line by line. */
export class MosquittoSub implements AsyncDisposable {
  readonly #child: Child;

  private constructor(child: Child) {
    this.#child = child;
  }

  static async start(
    dir: string,
    { port, topics, args = [] }: { port: number; topics: string[]; args?: string[] },
  ): Promise<MosquittoSub> {
    const name = `sub-${new SystemRandom().uuid().slice(0, 8)}`;
    const child = await startChild({
      name,
      command: "stdbuf", // it would keep lines back
      args: [
        ...["-oL", "mosquitto_sub"],
        ...["-p", String(port), "-q", "1", "-d", "-F", ">%t %p"],
        ...topics.flatMap((topic) => ["-t", topic]),
        ...args,
      ],
      logDir: dir,
    });
    await child.waitForLine(/^Subscribed/, 20_000);
    return new MosquittoSub(child);
  }

  async heard(): Promise<Heard[]> {
    const lines = (await Deno.readTextFile(this.#child.logFile)).split("\n");
    return lines.filter((line) => line.startsWith(">")).map((line) => {
      const at = line.indexOf(" ");
      return { topic: line.slice(1, at), text: line.slice(at + 1) };
    });
  }

  /** The first message on `topic` that `is`; parsed. */
  async next(
    topic: string,
    is: (body: Record<string, unknown>) => boolean = () => true,
  ): Promise<Record<string, unknown>> {
    return await until(async () => {
      for (const { topic: heard, text } of await this.heard()) {
        if (heard !== topic) continue;
        const body = JSON.parse(text);
        if (is(body)) return body;
      }
      return undefined;
    }, {
      what: `a message on ${topic}; heard ${JSON.stringify(await this.heard()).slice(0, 2_000)}`,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stop();
  }
}

/** Publishes with mosquitto_pub, and waits for the acknowledgement. */
export async function mosquittoPub(
  port: number,
  topic: string,
  message: string,
  args: string[] = [],
): Promise<{ code: number; stderr: string }> {
  const { code, stderr } = await run("mosquitto_pub", [
    ...["-p", String(port), "-q", "1", "-t", topic, "-s"],
    ...args,
  ], { stdin: message });
  return { code, stderr };
}
