/** `pushMethod.mqtt`: published at another broker, in order. QoS 0 ends with the packet written. */
import type { MqttClient } from "mqtt";
import type { Clock } from "../../../shared/clock.ts";
import { AppError, errorChain } from "../../../shared/errors.ts";
import { lastingStores } from "../../../shared/mqtt_stores.ts";
import { withDeadline } from "../deadline.ts";
import { deliverTogether } from "../deliver.ts";
import { mqttText, type PayloadStyle, sampleJson } from "../formats.ts";
import type { Credentials, Delivery, Destination, Sample, Sender } from "../port.ts";

const TIMEOUT_MS = 15_000;

export class MqttSender implements Sender {
  readonly batchMax = 64;
  readonly #client: MqttClient;
  readonly #style: PayloadStyle;
  readonly #clock: Clock;
  readonly #hungUp: Promise<never>;

  constructor(client: MqttClient, { style, clock }: { style: PayloadStyle; clock: Clock }) {
    this.#client = client;
    this.#style = style;
    this.#clock = clock;
    this.#hungUp = new Promise((_, reject) =>
      client.once("close", () => reject(new AppError("unavailable", "the broker hung up")))
    );
    void this.#hungUp.catch(() => {}); // heard while something is published
  }

  async send(samples: readonly Sample[], signal: AbortSignal): Promise<Delivery[]> {
    return await deliverTogether(
      samples,
      signal,
      (some, s) => withDeadline(this.#clock, TIMEOUT_MS, () => this.#publish(some), s),
    );
  }

  async close(): Promise<void> {
    await this.#client.endAsync(true);
  }

  /** All at once: the client sends them in order and matches the answers. */
  async #publish(samples: readonly Sample[]): Promise<void> {
    if (!this.#client.connected) throw new AppError("unavailable", "not connected");
    // a client that lost its broker keeps what it was given, for a connection that never comes
    const published = Promise.all(samples.map(async (sample) => {
      const { path = "", qos = 0, retain = false } = sample.detail;
      const payload = this.#style === "json" ? sampleJson(sample) : mqttText(sample);
      await this.#client.publishAsync(path, payload, { qos, retain });
    }));
    void published.catch(() => {}); // told below, unless the other came first
    await Promise.race([published, this.#hungUp]);
  }
}

/** Errors: `unavailable` (no broker, or it does not let us in). */
export async function openMqtt(
  { address }: Destination,
  { username, password }: Credentials,
  options: { style: PayloadStyle; clock: Clock },
): Promise<MqttSender> {
  const { connectAsync, Store } = (await import("mqtt")).default;
  const url = address.replace(/^tcp:/, "mqtt:").replace(/^(ssl|tls):/, "mqtts:");
  try {
    const client = await connectAsync(url, {
      ...lastingStores(Store),
      clean: true,
      // the courier opens anew what broke, and knows when
      reconnectPeriod: 0,
      connectTimeout: TIMEOUT_MS,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
    }, false);
    client.on("error", () => {}); // told by the publish that fails
    return new MqttSender(client, options);
  } catch (error) {
    throw new AppError("unavailable", `Cannot connect to ${address}: ${errorChain(error)}`);
  }
}
