/**
 * The event bus of a node: its brokers, the twin engine behind them, and the messages of
 * applications. Nothing of it is loaded when mode is off, and no library before its broker starts.
 */
import { Changes } from "../../shared/async/wakeup.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import type { MqttConfig } from "../config.ts";
import type { Intents } from "../intents/port.ts";
import type { Twins } from "../twins/port.ts";
import { AppMessages } from "./app_messages.ts";
import type { Published } from "./broker.ts";
import { Counters } from "./counters.ts";
import { DeviceNames } from "./device_names.ts";
import { EmbeddedBroker } from "./embedded.ts";
import { errorResult } from "./answers.ts";
import { ExternalBroker } from "./external.ts";
import type { BrokerStore } from "./kept_rows.ts";
import { Follower, type FollowerOptions } from "./follower.ts";
import type { AppMessage, EventBus, MqttCounts, MqttFacts, MqttStatus } from "./port.ts";
import { deviceTopic, filterProblem, parseRequest } from "./topics.ts";
import { TwinBus } from "./twin_bus.ts";

export interface MqttRoomOptions {
  config: MqttConfig;
  nodeName: string;
  /** Undefined while the node has no device. */
  twins: () => Twins | undefined;
  /** Notified when there are devices. */
  twinsChanges: Changes;
  intents: Pick<Intents, "setTwin">;
  /** For what the embedded broker keeps. */
  store: BrokerStore;
  /** True while the disk is to be spared. */
  sparing: () => boolean;
  clock: Clock;
  random: Random;
}

/** What an application may say at once. */
const APP_BYTES_MAX = 256 * 1024;

const log = roomLogger("edge", "mqtt");

export class MqttRoom implements EventBus, MqttFacts {
  /** Notified when a broker comes up or goes down. */
  readonly changes = new Changes();
  readonly #options: MqttRoomOptions;
  readonly #counters = new Counters();
  readonly #bus: TwinBus;
  /** One for each broker: none waits for another's. */
  readonly #followers: Follower[] = [];
  readonly #apps: AppMessages;
  readonly #embedded: EmbeddedBroker | undefined;
  readonly #external: ExternalBroker | undefined;

  constructor(options: MqttRoomOptions) {
    this.#options = options;
    const { config, nodeName, twins, twinsChanges, intents, store, sparing, clock, random } =
      options;
    const names = new DeviceNames();
    const counters = this.#counters;
    const onChange = () => this.changes.notify();
    this.#apps = new AppMessages(counters);
    const { desired, mode } = config;
    this.#bus = new TwinBus({ nodeName, twins, intents, names, desired, counters, clock });
    const follower = (publish: FollowerOptions["publish"]) =>
      new Follower({ nodeName, twins, twinsChanges, names, publish, clock, random });
    if (mode === "embedded" || mode === "both") {
      this.#embedded = new EmbeddedBroker({
        config,
        take: (message) =>
          this.#take(message, (topic, text) => this.#embedded!.publish(topic, text)),
        onForbidden: (message) => this.#refuse(message),
        store,
        sparing,
        counters,
        clock,
        random,
        onChange: () => {
          onChange();
          this.#replay();
        },
      });
      // one that is not taken is counted: the next are told all the same
      this.#followers.push(
        follower((topic, text) => this.#embedded!.publish(topic, text).catch(() => {})),
      );
    }
    if (mode === "external" || mode === "both") {
      const outside = follower((...said) => this.#external!.enqueue(...said));
      this.#followers.push(outside);
      this.#external = new ExternalBroker({
        config: config.external,
        nodeName,
        filters: () => this.#apps.filters(),
        take: (message) =>
          this.#take(message, (topic, text) => this.#external!.answer(topic, text)),
        counters,
        clock,
        random,
        onChange,
        onConnected: () => outside.replay(),
      });
      this.#apps.changes.subscribe(() => this.#external?.resubscribe());
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    if (!this.#embedded && !this.#external) return;
    const scope = new TaskScope(signal);
    try {
      for (const each of this.#followers) scope.spawn("mqtt changes", (s) => each.run(s));
      if (this.#embedded) scope.spawn("mqtt broker", (s) => this.#embedded!.run(s));
      if (this.#external) scope.spawn("mqtt client", (s) => this.#external!.run(s));
    } finally {
      await scope.join();
    }
  }

  status(): MqttStatus {
    return {
      ...(this.#embedded ? { embedded: this.#embedded.state } : {}),
      ...(this.#external ? { external: this.#external.state } : {}),
    };
  }

  counts(): MqttCounts {
    const counts = this.#counters.read({
      clients: this.#embedded?.clients ?? 0,
      waiting: this.#external?.waiting ?? 0,
    });
    const kept = this.#embedded?.kept;
    return kept ? { ...counts, kept } : counts;
  }

  /** Where the embedded broker really listens, as URLs; absent while it does not. */
  addresses(): { mqtt?: string; mqttTls?: string } {
    const state = this.#embedded?.state;
    if (state?.state !== "up") return {};
    const tls = this.#embedded?.tlsAddress;
    return { mqtt: `mqtt://${state.address}`, ...(tls ? { mqttTls: `mqtts://${tls}` } : {}) };
  }

  async publish({ topic, payload }: AppMessage, signal?: AbortSignal): Promise<void> {
    const problem = filterProblem(topic) ??
      (/[+#]/.test(topic) ? "must have no + and no #" : undefined);
    if (problem !== undefined) {
      throw new AppError(
        "invalid",
        `Cannot publish: topic ${problem}, got "${topic.slice(0, 80)}"`,
      );
    }
    if (payload.length > APP_BYTES_MAX) {
      const got = `got ${payload.length}`;
      throw new AppError("invalid", `Cannot publish: bytes must be <= ${APP_BYTES_MAX}, ${got}`);
    }
    if (!this.#embedded && !this.#external) {
      throw new AppError("unavailable", "Cannot publish: mqtt.mode is off");
    }
    await Promise.all([
      this.#embedded?.publish(topic, payload, true),
      this.#external?.publish(topic, payload, signal),
    ]);
  }

  subscribe(
    filter: string,
    take: (message: AppMessage) => Promise<void>,
    { wantsRetained = false }: { wantsRetained?: boolean } = {},
  ): () => void {
    const end = this.#apps.subscribe(filter, take, wantsRetained && this.#embedded !== undefined);
    if (wantsRetained) this.#replay();
    return end;
  }

  /** Once the embedded broker is up, and after the subscriber has what ends it. */
  #replay(): void {
    if (this.#embedded?.state.state !== "up") return;
    void Promise.resolve().then(() =>
      this.#apps.replay((asked) => this.#embedded?.retained(asked) ?? [])
    ).catch((error) => {
      log.warn("Retained messages are not told", { error: errorChain(error) });
    });
  }

  async #take(
    { topic, payload, who }: Published,
    answer: (topic: string, payload: string) => Promise<void>,
  ): Promise<void> {
    const request = parseRequest(topic);
    if (!request) return await this.#apps.take({ topic, payload });
    const by = `mqtt:${who.user === "" ? who.client : who.user}`.slice(0, 200);
    const said = await this.#bus.handle({ request, payload, by });
    // not waited for: who hears it may be the very client whose next message would wait for this;
    // what the broker does not take is counted there
    if (said) void answer(said.topic, said.payload).catch(() => {});
    // a request is for the bus; who else reads that topic is the broker's matter
  }

  /** Whoever asked and may not is told where they would look for the answer. */
  #refuse({ topic, who }: Published): void {
    const request = parseRequest(topic);
    if (!request || request.kind === "membership_get") return;
    const said = `Cannot publish on ${topic}: no entry of mqtt.acl lets ${who.user || who.client}`;
    const error = new AppError("forbidden", said, { rule: "acl" });
    const stamp = { eventId: "", nowMs: this.#options.clock.nowMs() };
    const result = deviceTopic(request.device, RESULT_OF[request.kind]);
    this.#counters.request(request.kind, 403);
    void this.#embedded?.publish(result, errorResult(stamp, error)).catch(() => {}); // counted
  }
}

const RESULT_OF = {
  twin_get: "twin/get/result",
  twin_update: "twin/update/result",
  state_update: "state/update/result",
} as const;
