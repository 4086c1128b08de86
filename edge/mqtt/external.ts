/**
 * The broker beside the edge. One persistent session under a fixed name: what is published while
 * the edge is away waits there, and a message is acknowledged when it is on disk here. Connections
 * are made anew with back-off; each is a client of its own, so nothing half-open is carried over.
 *
 *     starting -> up -> down (why) -> (back-off) up ...
 */
import type { IClientOptions, IPublishPacket, MqttClient, Packet } from "mqtt";
import { fullJitterMs } from "../../shared/async/backoff.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import { lastingStores } from "../../shared/mqtt_stores.ts";
import type { Random } from "../../shared/random.ts";
import type { MqttConfig } from "../config.ts";
import type { Published } from "./broker.ts";
import type { Counters } from "./counters.ts";
import { readPem } from "./embedded.ts";
import type { BrokerState } from "./port.ts";
import { Publications, type Send } from "./publications.ts";
import { DEVICE_FILTERS } from "./topics.ts";

export interface ExternalOptions {
  config: MqttConfig["external"];
  nodeName: string;
  /** Beside those of devices. */
  filters: () => string[];
  take: (message: Published) => Promise<void>;
  counters: Counters;
  clock: Clock;
  random: Random;
  onChange: () => void;
  onConnected: () => void;
}

const RETRY = { initialMs: 500, maxMs: 30_000 };
const RETRY_MS_MIN = 100;
const CONNECT_MS = 10_000;
const KEEPALIVE_S = 20;
/** A broker that answers pings and acknowledges nothing is left, and told again. */
const ACKNOWLEDGE_MS = 20_000;
/** Messages in hand, before the connection is not read from any more. */
const IN_HAND_MAX = 256;

export class ExternalBroker {
  readonly #options: ExternalOptions;
  readonly #publications: Publications;
  readonly #log = roomLogger("edge", "mqtt");
  #state: BrokerState = { state: "starting" };
  #client: MqttClient | undefined;

  constructor(options: ExternalOptions) {
    this.#options = options;
    this.#publications = new Publications(options);
  }

  get state(): BrokerState {
    return this.#state;
  }

  get waiting(): number {
    return this.#publications.size;
  }

  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.#keepConnected(signal);
    } finally {
      this.#publications.close(signal.reason);
    }
  }

  async #keepConnected(signal: AbortSignal): Promise<void> {
    const { clock, random, config } = this.#options;
    for (let attempt = 0;; attempt++) {
      let problem: string;
      try {
        const { connect, Store } = (await import("mqtt")).default;
        const client = connect({ ...await this.#clientOptions(), ...lastingStores(Store) });
        problem = await this.#session(client, signal);
        if (this.#state.state === "up") attempt = 0;
      } catch (error) {
        signal.throwIfAborted();
        problem = errorChain(error);
      }
      this.#set({ state: "down", address: config.url, problem });
      this.#log.warn("External MQTT broker is away", { url: shownUrl(config.url), problem });
      await clock.sleep(RETRY_MS_MIN + fullJitterMs(RETRY, attempt, random), signal);
    }
  }

  /** Of the follower: waits for room. */
  async enqueue(topic: string, payload: string, signal: AbortSignal): Promise<void> {
    this.#options.counters.messages.out++;
    await this.#publications.add(topic, payload, signal);
  }

  /** Never waits: acknowledgements come behind it. */
  answer(topic: string, payload: string): Promise<void> {
    const { counters } = this.#options;
    counters.messages.out++;
    if (!this.#publications.offer(topic, payload)) counters.drop("external_queue_full");
    return Promise.resolve();
  }

  async publish(topic: string, payload: Uint8Array, signal?: AbortSignal): Promise<void> {
    this.#options.counters.messages.out++;
    await this.#publications.deliver(topic, payload, signal);
  }

  /** The filters have changed. Those that are gone stay with the session: nobody takes them. */
  resubscribe(): void {
    const client = this.#client;
    if (!client) return;
    void this.#subscribe(client).catch((error) =>
      this.#log.warn("Cannot subscribe", { error: errorChain(error) })
    );
  }

  async #clientOptions(): Promise<IClientOptions> {
    const { config, nodeName } = this.#options;
    const url = new URL(config.url.replace(/^tcp:/, "mqtt:").replace(/^ssl:/, "mqtts:"));
    const isTls = url.protocol === "mqtts:";
    const pem = async (key: string, file: string) =>
      file === "" ? {} : { [key]: await readPem(file) };
    const password = config.passwordFile === ""
      ? {}
      : { password: (await readPem(config.passwordFile)).replace(/\r?\n$/, "") };
    return {
      protocol: isTls ? "mqtts" : "mqtt",
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: Number(url.port || (isTls ? 8883 : 1883)),
      clientId: config.clientId === "" ? `skerry-${nodeName}` : config.clientId,
      ...(config.username === "" ? {} : { username: config.username }),
      ...password,
      ...await pem("ca", config.caFile),
      ...await pem("cert", config.certFile),
      ...await pem("key", config.keyFile),
      clean: false,
      protocolVersion: config.protocol === "5" ? 5 : 4,
      ...(config.protocol === "5" ? { properties: { sessionExpiryInterval: 0xffffffff } } : {}),
      reconnectPeriod: 0,
      connectTimeout: CONNECT_MS,
      keepalive: KEEPALIVE_S,
      resubscribe: false,
      manualConnect: true,
    };
  }

  async #session(client: MqttClient, signal: AbortSignal): Promise<string> {
    const closed = Promise.withResolvers<string>();
    let problem = "the connection was closed";
    client.on("error", (error) => problem = errorChain(error));
    client.on("close", () => closed.resolve(problem));
    const onAbort = () => closed.resolve("the edge ends");
    signal.addEventListener("abort", onAbort, { once: true });
    const over = new AbortController();
    this.#receive(client);
    try {
      client.connect();
      const isConnected = Promise.withResolvers<boolean>();
      client.once("connect", () => isConnected.resolve(true));
      void closed.promise.then(() => isConnected.resolve(false));
      if (!await isConnected.promise) return await closed.promise;
      await Promise.race([this.#subscribe(client), closed.promise]);
      this.#client = client;
      this.#publications.connect(sendBy(client));
      this.#set({ state: "up", address: this.#options.config.url });
      this.#log.info("Connected to the external MQTT broker", {
        url: shownUrl(this.#options.config.url),
      });
      this.#options.onConnected();
      void this.#watch(over.signal).then(closed.resolve, () => {}); // it is over
      return await closed.promise;
    } finally {
      over.abort();
      signal.removeEventListener("abort", onAbort);
      this.#client = undefined;
      this.#publications.connect(undefined);
      await ended(client, signal.aborted);
    }
  }

  /** Resolves with what is wrong when one publication was in flight at two looks. */
  async #watch(signal: AbortSignal): Promise<string> {
    let before: object | undefined;
    for (;;) {
      await this.#options.clock.sleep(ACKNOWLEDGE_MS, signal);
      const { oldest } = this.#publications;
      if (oldest && oldest === before) break;
      before = oldest;
    }
    this.#options.counters.drop("broker_stalled");
    return `no acknowledgement within ${ACKNOWLEDGE_MS} ms`;
  }

  async #subscribe(client: MqttClient): Promise<void> {
    const filters = [...DEVICE_FILTERS, ...this.#options.filters()];
    const granted = await client.subscribeAsync(filters, { qos: 1 });
    const refused = granted.filter(({ qos }) => qos > 2).map(({ topic }) => topic);
    if (refused.length === 0) return;
    throw new AppError("forbidden", `The broker refuses subscriptions: ${refused.join(", ")}`);
  }

  /**
   * The library reads on only when a message is acknowledged, so it would have one in hand at a
   * time, and a commit to disk for each. It is told of QoS 0, and the acknowledgement, which it
   * then leaves out, is sent here when the message is on disk.
   */
  #receive(client: MqttClient): void {
    let inHand = 0;
    let goOn: (() => void) | undefined;
    let last: Promise<void> = Promise.resolve();
    client.on("packetreceive", (packet: Packet) => {
      if (packet.cmd !== "publish") return;
      const { qos, messageId } = packet;
      if (qos === 1) packet.qos = 0;
      inHand++;
      const taken = this.#take(packet);
      last = last.then(() => taken).then((isTaken) => {
        inHand--;
        if (isTaken && qos === 1 && messageId !== undefined && client.connected) {
          client.stream.write(Uint8Array.of(PUBACK, 2, messageId >> 8, messageId & 0xff));
        }
        goOn?.();
      });
    });
    client.handleMessage = (_packet, done) => {
      if (inHand < IN_HAND_MAX) return done();
      goOn = () => {
        goOn = undefined;
        done();
      };
    };
  }

  /** False when it shall come again. */
  async #take({ topic, payload, retain }: IPublishPacket): Promise<boolean> {
    const { counters, take } = this.#options;
    counters.messages.in++;
    if (retain) {
      counters.drop("retained_replay"); // said at some time, to somebody; not news
      return true;
    }
    const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
    try {
      await take({ topic, payload: bytes, who: { user: "", client: "external" } });
      return true;
    } catch (error) {
      this.#log.warn("Message was not taken", { topic, error: errorChain(error) });
      return false;
    }
  }

  #set(state: BrokerState): void {
    this.#state = state;
    this.#options.onChange();
  }
}

const PUBACK = 0x40;

function sendBy(client: MqttClient): Send {
  return ({ topic, payload }, done) => {
    const bytes = typeof payload === "string" ? payload : Buffer.from(payload);
    client.publish(topic, bytes, { qos: 1 }, (error) => done(error ?? undefined));
  };
}

/** A graceful end tells the broker, which keeps the session. */
function ended(client: MqttClient, isGraceful: boolean): Promise<void> {
  return new Promise((resolve) => client.end(!isGraceful || !client.connected, () => resolve()));
}

/** Without what may be a secret. */
function shownUrl(text: string): string {
  const url = URL.parse(text);
  return url ? `${url.protocol}//${url.host}` : "?";
}
