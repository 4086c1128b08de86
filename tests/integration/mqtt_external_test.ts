/**
 * The event bus at a real mosquitto: nothing of QoS 1 is lost when the broker is killed, when the
 * edge ends and begins again, or when the broker is not there at first.
 */
import { assert, assertEquals } from "@std/assert";
import { connectAsync, type MqttClient, Store } from "mqtt";
import { lastingStores } from "../../shared/mqtt_stores.ts";
import { deviceName, NAMESPACE, propertyName } from "../support/device_node.ts";
import { freePort, mosquittoPub, MosquittoSub, MqttNode, startMosquitto } from "../support/mqtt.ts";
import type { HistoryAnswer } from "../../edge/twins/port.ts";
import { testWith } from "../support/requirements.ts";
import { until } from "../support/until.ts";

const DEVICES = 5;
const PROPERTIES = 10;
const UPDATES = 3_000;
const LATE = 500;

interface World {
  dir: string;
  port: number;
  url: string;
}

async function withWorld(work: (world: World) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-mqtt-it-" });
  const port = freePort();
  try {
    await work({ dir, port, url: `mqtt://127.0.0.1:${port}` });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** A broker whose sessions and messages survive it. */
function durable(dir: string): string[] {
  return [
    "allow_anonymous true",
    "persistence true",
    `persistence_location ${dir}/`,
    "autosave_on_changes true",
    "autosave_interval 1",
    "max_queued_messages 0",
  ];
}

/** Sends updates and says them again until they are answered, as a careful mapper does. */
class Mapper {
  readonly unanswered = new Map<string, { topic: string; payload: string }>();
  readonly #url: string;
  #client: MqttClient | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  async connect(): Promise<void> {
    this.#client = await connectAsync(this.#url, {
      ...lastingStores(Store),
      clientId: "mapper",
      clean: false,
      reconnectPeriod: 50,
    });
    this.#client.on("message", (_topic, payload) => {
      const { event_id, code } = JSON.parse(payload.toString());
      if (code === undefined) this.unanswered.delete(event_id);
    });
    this.#client.on("error", () => {}); // it connects again by itself
    await this.#client.subscribeAsync("$hw/events/device/+/+/twin/update/result", { qos: 1 });
  }

  /** One update; `index` says of what. */
  say(index: number): void {
    const device = deviceName(index % DEVICES);
    const property = propertyName(Math.floor(index / DEVICES) % PROPERTIES);
    const twin = { [property]: { actual: { value: String(index) } } };
    const event = `e${index}`;
    const topic = `$hw/events/device/${NAMESPACE}/${device}/twin/update`;
    this.unanswered.set(event, { topic, payload: JSON.stringify({ event_id: event, twin }) });
    this.#publish(event);
  }

  again(): void {
    for (const event of this.unanswered.keys()) this.#publish(event);
  }

  async end(): Promise<void> {
    await this.#client?.endAsync(true);
  }

  #publish(event: string): void {
    const said = this.unanswered.get(event);
    if (said) this.#client?.publish(said.topic, said.payload, { qos: 1 });
  }
}

testWith(
  ["mosquitto"],
  "MQTT outside: a broker killed amid QoS 1 traffic costs no update",
  async () => {
    await withWorld(async ({ dir, port, url }) => {
      let mosquitto = await startMosquitto(dir, port, durable(dir));
      await using bus = await MqttNode.start(dir, { mode: "external", external: { url } }, DEVICES);
      await bus.connected();
      const mapper = new Mapper(url);
      try {
        await mapper.connect();
        let killed = 0;
        for (let index = 0; index < UPDATES; index++) {
          mapper.say(index);
          if (index % 100 === 99) {
            const most = killed < 2 ? 2_000 : 300;
            await until(() => mapper.unanswered.size < most, {
              what: "answers",
              timeoutMs: 60_000,
            });
          }
          if (index === 1_000 || index === 2_000) {
            killed++;
            mosquitto.kill("SIGKILL");
            await mosquitto.status;
            await mosquitto.stop();
            mosquitto = await startMosquitto(dir, port, durable(dir));
          }
        }
        await until(() => {
          if (mapper.unanswered.size === 0) return true;
          mapper.again();
          return false;
        }, { what: "every answer", timeoutMs: 120_000, everyMs: 1_000 });
        assertEquals(await told(bus), UPDATES);
        const down = bus.room.status().external;
        assert(down?.state === "up", JSON.stringify(down));
      } finally {
        await mapper.end();
        await mosquitto.stop();
      }
    });
  },
);

testWith(
  ["mosquitto"],
  "MQTT outside: what is said while the edge is away waits for it",
  async () => {
    await withWorld(async ({ dir, port, url }) => {
      const mosquitto = await startMosquitto(dir, port, durable(dir));
      const config = { mode: "external", external: { url } };
      const mapper = new Mapper(url);
      try {
        {
          await using bus = await MqttNode.start(dir, config, DEVICES);
          await bus.connected();
          await mapper.connect();
          for (let index = 0; index < 100; index++) mapper.say(index);
          await until(() => mapper.unanswered.size === 0, { what: "answers", timeoutMs: 30_000 });
        }
        for (let index = 100; index < LATE; index++) mapper.say(index);
        await using bus = await MqttNode.start(dir, config);
        await until(() => mapper.unanswered.size === 0, { what: "answers", timeoutMs: 60_000 });
        assertEquals(await told(bus), LATE);
      } finally {
        await mapper.end();
        await mosquitto.stop();
      }
    });
  },
);

testWith(
  ["mosquitto"],
  "MQTT outside: publications wait for a broker, version 5 works",
  async () => {
    await withWorld(async ({ dir, port, url }) => {
      const external = { url, protocol: "5" };
      await using bus = await MqttNode.start(dir, { mode: "both", external }, 1);
      await until(() => bus.room.status().external?.state === "down", { what: "it is missed" });
      const bytes = (text: string) => new TextEncoder().encode(text);
      const published = Promise.all(
        Array.from(
          { length: 200 },
          (_, i) => bus.room.publish({ topic: "line/out", payload: bytes(`m${i}`) }),
        ),
      );
      const lines = [...durable(dir), "retain_available true"];
      const mosquitto = await startMosquitto(dir, port, lines);
      try {
        await using sub = await MosquittoSub.start(dir, {
          port,
          topics: ["line/#", "$hw/#"],
          args: ["-V", "mqttv5"],
        });
        await bus.connected();
        await published;
        assertEquals(bus.room.counts().waiting, 0);
        const topic = `$hw/events/device/${NAMESPACE}/${deviceName(0)}/twin/update`;
        const twin = { [propertyName(1)]: { actual: { value: "4" } } };
        const message = JSON.stringify({ event_id: "five", twin });
        await mosquittoPub(port, topic, message, ["-V", "mqttv5"]);
        await sub.next(`${topic}/result`, ({ event_id }) => event_id === "five");
        // the document is heard at the embedded broker too
        const inside = await bus.port();
        await using other = await MosquittoSub.start(dir, { port: inside, topics: ["$hw/#"] });
        await mosquittoPub(port, topic, message.replace('"4"', '"5"'), ["-V", "mqttv5"]);
        await other.next(`${topic}/document`);
      } finally {
        await mosquitto.stop();
      }
    });
  },
);

/** How many different updates came to be, by the history: each had a value of its own. */
async function told(bus: MqttNode): Promise<number> {
  const { twins } = bus.node.engine;
  const found = new Set<string>();
  for (const device of twins.list()) {
    for (let after: number | undefined = 0; after !== undefined;) {
      const page: HistoryAnswer = await twins.history(device, { kind: "reported", after });
      for (const point of page.points) {
        if (point.kind === "reported") found.add(String(point.value));
      }
      after = page.next;
    }
  }
  return found.size;
}
