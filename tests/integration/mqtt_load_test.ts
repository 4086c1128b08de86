/**
 * Twin updates faster than the embedded broker writes: every one is answered, whoever else listens.
 * (What came while the stream refilled itself was once read past the broker, and lost.)
 */
import { assertEquals } from "@std/assert";
import { connectAsync, type MqttClient } from "mqtt";
import { deviceName, NAMESPACE, propertyName } from "../support/device_node.ts";
import { MqttNode } from "../support/mqtt.ts";
import { until } from "../support/until.ts";

const CLIENTS = 8;
const IN_FLIGHT = 64;
const UPDATES = 3_000;
const DEVICES = 100;
const RESULTS = "$hw/events/device/+/+/twin/update/result";

class Load {
  readonly codes: unknown[] = [];
  acknowledged = 0;
  readonly #clients: MqttClient[];
  readonly #open = new Map<string, () => void>();

  constructor(clients: MqttClient[]) {
    this.#clients = clients;
  }

  /** The first client hears the answers to all. */
  async listen(): Promise<void> {
    const [first] = this.#clients;
    first?.on("message", (_topic, payload) => {
      const { event_id, code } = JSON.parse(payload.toString());
      if (code !== undefined) this.codes.push(code);
      this.#open.get(event_id)?.();
      this.#open.delete(event_id);
    });
    await first?.subscribeAsync(RESULTS, { qos: 0 });
  }

  get unanswered(): number {
    return this.#open.size;
  }

  async run(): Promise<void> {
    let next = 0;
    await Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
      for (let i = next++; i < UPDATES; i = next++) await this.#update(i);
    }));
  }

  async #update(index: number): Promise<void> {
    const topic = `$hw/events/device/${NAMESPACE}/${deviceName(index % DEVICES)}/twin/update`;
    const twin = { [propertyName(1)]: { actual: { value: String(index) } } };
    const event = String(index);
    const payload = JSON.stringify({ event_id: event, twin });
    await new Promise<void>((resolve) => {
      this.#open.set(event, resolve);
      const client = this.#clients[index % CLIENTS];
      client?.publish(topic, payload, { qos: 1 }, () => this.acknowledged++);
    });
  }
}

Deno.test("MQTT inside: under sustained load every update is answered", async () => {
  const dir = await Deno.makeTempDir({ prefix: "skerry-mqtt-it-" });
  try {
    await using bus = await MqttNode.start(dir, {}, DEVICES);
    const url = `mqtt://127.0.0.1:${await bus.port()}`;
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connectAsync(url)));
    try {
      const load = new Load(clients);
      await load.listen();
      let isDone = false;
      void load.run().then(() => isDone = true);
      const state = () => `${load.unanswered} open, ${load.acknowledged} acknowledged`;
      await until(() => isDone, { what: "every answer", timeoutMs: 120_000 })
        .catch((error) => Promise.reject(new Error(state(), { cause: error })));
      await until(() => load.acknowledged === UPDATES, { what: "every acknowledgement" });
      assertEquals(load.codes, []);
      const { requests, dropped } = bus.room.counts();
      assertEquals(requests, { "twin_update 200": UPDATES });
      assertEquals(dropped, {});
    } finally {
      await Promise.all(clients.map((client) => client.endAsync(true)));
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
