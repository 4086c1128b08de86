/**
 * Devices that speak MQTT in topics of their own. configData of the device: `url` of a broker
 * (`mqtt://host:1883`, with `username`, `password`, `clientId`), or nothing for the brokers of this
 * node. Of a property: `topic` (also with + and #), `jsonPath`, `commandTopic`, `body`
 * (`{{value}}` with a jsonPath, else `{{text}}`), `qos` (1), `retain`.
 */
import type { MqttClient } from "mqtt";
import { AppError, errorChain } from "../../../shared/errors.ts";
import { lastingStores } from "../../../shared/mqtt_stores.ts";
import { fillTemplate, type JsonPath, parseJsonPath, pick } from "../json_path.ts";
import type {
  Connection,
  CreateDriver,
  DriverDevice,
  MessageBus,
  Point,
  Reading,
} from "../port.ts";
import { flagSetting, needText, textSetting, valueText, wholeSetting } from "../settings.ts";

/** What a device may say at once; a value holds 64 KiB. */
const PAYLOAD_BYTES_MAX = 256 * 1024;

interface Listener {
  point: Point;
  topic: string;
  path: JsonPath | undefined;
}

type Publish = (
  topic: string,
  payload: Uint8Array,
  how: { qos: 0 | 1 | 2; retain: boolean; signal: AbortSignal },
) => Promise<void>;

export const createDriver: CreateDriver = ({ bus }) => ({
  open: async (device, signal) => {
    const listeners = listenersOf(device);
    if (device.config["url"] !== undefined) return await openClient(device, listeners, signal);
    if (!bus) {
      throw new AppError(
        "invalid",
        "Cannot use configData: url must be set, this node has no broker",
      );
    }
    return onBus(bus, listeners);
  },
});

function onBus(bus: MessageBus, listeners: readonly Listener[]): Connection {
  let ends: (() => void)[] = [];
  return {
    listen: (say) => {
      ends = byTopic(listeners).map(([topic, here]) =>
        bus.subscribe(topic, ({ payload }) => {
          hear(here, payload, say);
          return Promise.resolve();
        }, { wantsRetained: true })
      );
    },
    write: writer((topic, payload, { signal }) => bus.publish({ topic, payload }, signal)),
    close: () => {
      for (const end of ends) end();
      return Promise.resolve();
    },
  };
}

async function openClient(
  { config, namespace, name }: DriverDevice,
  listeners: readonly Listener[],
  signal: AbortSignal,
): Promise<Connection> {
  const { default: mqtt } = await import("mqtt");
  const [username, password] = [textSetting(config["username"]), textSetting(config["password"])];
  const clientId = textSetting(config["clientId"]) ?? `skerry-${namespace}-${name}`;
  const client = mqtt.connect(needText(config, "url"), {
    ...lastingStores(mqtt.Store),
    clientId,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    // the device is connected anew by its mapper, with its back-off
    reconnectPeriod: 0,
    resubscribe: false,
  });
  const lost = new AbortController();
  const onLost = (cause?: unknown) => {
    const why = cause ? `: ${errorChain(cause)}` : "";
    lost.abort(new AppError("unavailable", `Broker ${config["url"]} is not reached${why}`));
  };
  client.on("error", onLost);
  client.on("close", () => onLost());
  const end = () => client.endAsync(true).then(() => {}, () => {}); // it has ended already
  try {
    await connected(client, [signal, lost.signal]);
    return clientConnection(client, listeners, lost.signal, end);
  } catch (error) {
    await end();
    throw error;
  }
}

function clientConnection(
  client: MqttClient,
  listeners: readonly Listener[],
  lost: AbortSignal,
  close: () => Promise<void>,
): Connection {
  return {
    lost,
    listen: (say) => {
      const topics = byTopic(listeners);
      client.on("message", (topic, payload) => {
        for (const [filter, here] of topics) if (matches(filter, topic)) hear(here, payload, say);
      });
      for (const [filter, here] of topics) {
        const qos = qosOf(here[0]?.point);
        // nobody waits: what it comes to is said of the properties
        void client.subscribeAsync(filter, { qos }).catch((error) => {
          const reason = new AppError("invalid", `Cannot subscribe: ${errorChain(error)}`);
          for (const { point } of here) say(point.name, reason);
        });
      }
    },
    write: writer(async (topic, payload, { qos, retain }) => {
      // the library takes bytes of Node's kind only
      await client.publishAsync(
        topic,
        payload as Uint8Array & Parameters<typeof client.publishAsync>[1],
        { qos, retain },
      );
    }),
    close,
  };
}

function connected(client: MqttClient, signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve, reject) => {
    client.once("connect", () => resolve());
    for (const signal of signals) {
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    }
  });
}

function writer(publish: Publish): Connection["write"] {
  return async (point, value, signal) => {
    const { config, type } = point;
    const topic = needText(config, "commandTopic");
    const fallback = config["jsonPath"] === undefined ? "{{text}}" : "{{value}}";
    const body = fillTemplate(textSetting(config["body"]) ?? fallback, type, value);
    const how = { qos: qosOf(point), retain: flagSetting(config["retain"]), signal };
    await publish(topic, new TextEncoder().encode(body), how);
    // without a topic of its own it never says what became of it
    return { kind: config["topic"] === undefined ? "done" : "sent" };
  };
}

function hear(
  listeners: readonly Listener[],
  payload: Uint8Array,
  say: (property: string, reading: Reading) => void,
): void {
  const tooBig = payload.length > PAYLOAD_BYTES_MAX;
  const text = tooBig ? "" : new TextDecoder().decode(payload);
  for (const { point, path } of listeners) {
    try {
      if (tooBig) throw new AppError("invalid", `Message must be <= ${PAYLOAD_BYTES_MAX} bytes`);
      const isRaw = !path && point.type === "BYTES";
      say(point.name, valueText(point, isRaw ? payload : pick(text, path)));
    } catch (error) {
      say(point.name, error instanceof Error ? error : new AppError("internal", String(error)));
    }
  }
}

function listenersOf({ config, points }: DriverDevice): Listener[] {
  return points.flatMap((point) => {
    const topic = textSetting(point.config["topic"]) ?? textSetting(config["topic"]);
    if (topic === undefined) return [];
    const { jsonPath } = point.config;
    const path = jsonPath === undefined ? undefined : parseJsonPath(textSetting(jsonPath) ?? "");
    return [{ point, topic, path }];
  });
}

function byTopic(listeners: readonly Listener[]): [string, Listener[]][] {
  return [...Map.groupBy(listeners, ({ topic }) => topic)];
}

function qosOf(point: Point | undefined): 0 | 1 | 2 {
  const qos = wholeSetting(point?.config["qos"], [0, 2]);
  return qos === 0 || qos === 2 ? qos : 1;
}

/** Of MQTT: + is one level, # all that are left. */
export function matches(filter: string, topic: string): boolean {
  const [wanted, given] = [filter.split("/"), topic.split("/")];
  for (const [at, level] of wanted.entries()) {
    if (level === "#") return true;
    if (at >= given.length || (level !== "+" && level !== given[at])) return false;
  }
  return wanted.length === given.length;
}
