/**
 * Twin updates by MQTT, through a broker of the site that is killed as well. An update counts as
 * acknowledged when its result has come back: then the node holds that value, or one tried after
 * it, and in the end the cloud does too.
 */
import { join } from "@std/path";
import mqtt, { type MqttClient } from "mqtt";
import { type Clock, SystemClock } from "../../../shared/clock.ts";
import { AppError } from "../../../shared/errors.ts";
import { lastingStores } from "../../../shared/mqtt_stores.ts";
import type { Device } from "../../../shared/k8s/devices.ts";
import { freePort, startMosquitto } from "../mqtt.ts";
import type { Child } from "../process.ts";
import type { Site } from "../site.ts";
import { until } from "../until.ts";
import { attempt, json, type Load, repeat } from "./load.ts";
import type { Victim } from "./rounds.ts";

const GROUP = "/apis/devices.kubeedge.io/v1beta1/namespaces/default";
const API_VERSION = "devices.kubeedge.io/v1beta1";
const DEVICE = "counter";
const PROPERTY = "count";
const TOPIC = `$hw/events/device/default/${DEVICE}/twin/update`;
const EVERY_MS = 100;
const SETTLE_MS = 60_000;

/** A mosquitto that keeps what it was given, as a site runs it. */
export class Broker implements Victim, AsyncDisposable {
  readonly name = "broker";
  readonly #port = freePort();
  #child: Child | undefined;

  get url(): string {
    return `mqtt://127.0.0.1:${this.#port}`;
  }

  /** For `join`: the node uses this broker. */
  get joinFlags(): string[] {
    return ["--mqtt-external", this.url];
  }

  async start(site: Site): Promise<void> {
    const dir = join(site.dir, "broker");
    await Deno.mkdir(dir, { recursive: true });
    this.#child = await startMosquitto(dir, this.#port, [
      "allow_anonymous true",
      "persistence true",
      `persistence_location ${dir}/`,
      "autosave_interval 1",
    ]);
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child?.stop();
  }
}

export class TwinUpdates implements Load {
  readonly name = "twin updates by MQTT";
  readonly #clock: Clock = new SystemClock();
  readonly #broker: Broker;
  #tried = 0;
  #acknowledged = 0;
  #results = 0;

  constructor(broker: Broker) {
    this.#broker = broker;
  }

  /** Before anything is killed. */
  async start(site: Site): Promise<void> {
    const properties = [{ name: PROPERTY, type: "INT", accessMode: "ReadOnly" }];
    await make(site, "devicemodels", "DeviceModel", { name: "counters" }, { properties });
    const visitors = { protocolName: "custom", configData: {} };
    await make(site, "devices", "Device", { name: DEVICE }, {
      deviceModelRef: { name: "counters" },
      nodeName: site.nodeName,
      properties: [{ name: PROPERTY, reportToCloud: true, visitors }],
      protocol: { protocolName: "custom", configData: {} },
    });
    await until(async () => (await site.edge.fetch(`/v1/devices/default/${DEVICE}`)).ok, {
      what: `device ${DEVICE} at the node`,
      timeoutMs: 30_000,
    });
  }

  async run(_site: Site, signal: AbortSignal): Promise<void> {
    const client = mqtt.connect(this.#broker.url, {
      ...lastingStores(mqtt.Store),
      clientId: "load",
      clean: false,
      reconnectPeriod: 200,
    });
    client.on("error", () => {}); // the broker is away: it connects again
    client.on("message", (_topic, payload) => this.#hear(payload));
    try {
      client.subscribe(`${TOPIC}/result`, { qos: 1 });
      await repeat(this.#clock, EVERY_MS, () => this.#update(client, signal), signal);
    } finally {
      await client.endAsync(true);
    }
  }

  async #update(client: MqttClient, signal: AbortSignal): Promise<void> {
    const value = ++this.#tried;
    const twin = { [PROPERTY]: { actual: { value: String(value) }, metadata: { type: "int" } } };
    const payload = JSON.stringify({ event_id: String(value), timestamp: 0, twin });
    // an update that is not taken is tried again by the client itself, later ones behind it
    await attempt(() => client.publishAsync(TOPIC, payload, { qos: 1 }), signal);
  }

  #hear(payload: Uint8Array): void {
    const result: { event_id?: string; code?: number } = JSON.parse(
      new TextDecoder().decode(payload),
    );
    if (result.code !== undefined && result.code !== 200) return;
    this.#results++;
    this.#acknowledged = Math.max(this.#acknowledged, Number(result.event_id));
  }

  async faults(site: Site): Promise<string[]> {
    const faults: string[] = [];
    if (this.#acknowledged === 0) return ["no twin update was ever acknowledged"];
    const isRight = (value: number) => value >= this.#acknowledged && value <= this.#tried;
    const say = (where: string, value: number) =>
      `${where} holds ${value}, acknowledged ${this.#acknowledged}, tried ${this.#tried}`;
    const atNode = await nodeValue(site);
    if (!isRight(atNode)) faults.push(say("the node", atNode));
    await until(async () => isRight(await cloudValue(site)), {
      what: "the twin in the cloud",
      timeoutMs: SETTLE_MS,
    }).catch(async () => void faults.push(say("the cloud", await cloudValue(site))));
    return faults;
  }

  summary(): string {
    return `${this.#tried} updates, ${this.#results} results`;
  }
}

async function make(
  site: Site,
  plural: string,
  kind: string,
  metadata: object,
  spec: object,
): Promise<void> {
  const body = { apiVersion: API_VERSION, kind, metadata, spec };
  const answer = await site.cloud.fetch(`${GROUP}/${plural}`, json("POST", body));
  const text = await answer.text();
  if (!answer.ok) throw new AppError("internal", `POST ${plural}: ${answer.status} ${text}`);
}

async function nodeValue(site: Site): Promise<number> {
  const path = `/v1/devices/default/${DEVICE}/twins`;
  const text = JSON.stringify(await site.edge.get(path));
  return Number(/"reported":\{"value":"(\d+)"/.exec(text)?.[1]);
}

async function cloudValue(site: Site): Promise<number> {
  const device = await site.cloud.get<Device>(`${GROUP}/devices/${DEVICE}`);
  return Number(
    device.status?.twins?.find((twin) => twin.propertyName === PROPERTY)?.reported?.value,
  );
}
