/**
 * The broker inside the edge: aedes behind bounds. It speaks MQTT 3.1 and 3.1.1; a client of
 * another version gets the protocol's own refusal. A publication is acknowledged when whoever takes
 * it here has it on disk, in the order a client sent them. A client that does not read is no burden
 * to others: what waits for it is bounded, then it is let go.
 */
import type { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { Aedes, type AedesPublishPacket, type AuthenticateError, type Client } from "aedes";
import type { Clock } from "../../shared/clock.ts";
import { errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { MqttConfig } from "../config.ts";
import { Acl, type Who } from "./acl.ts";
import { Connection } from "./connection.ts";
import type { Counters } from "./counters.ts";
import { Deliveries } from "./deliveries.ts";
import type { Users } from "./passwords.ts";
import { Sessions } from "./sessions.ts";
import { TOPIC_CHARS_MAX, TOPIC_LEVELS_MAX } from "./topics.ts";

/** A value of 64 KiB, written as JSON with escapes, and its header. */
export const PACKET_BYTES_MAX = 256 * 1024;
const CLIENT_ID_CHARS_MAX = 256;
const CONNECT_MS = 10_000;
const IN_FLIGHT_MAX = 256;

export interface Published {
  topic: string;
  payload: Uint8Array;
  who: Who;
}

export interface BrokerOptions {
  config: Pick<MqttConfig, "acl" | "limits">;
  /** Absent where everybody is let in. */
  users?: Users;
  /** Settles when the message is taken; what it rejects with is told in the log only. */
  take: (message: Published) => Promise<void>;
  /** A message its sender may not publish. */
  onForbidden: (message: Published) => void;
  counters: Counters;
  clock: Clock;
}

type Publish = (packet: object, client: Client | undefined, done: (error?: Error) => void) => void;

export class Broker {
  readonly #options: BrokerOptions;
  readonly #aedes: Aedes;
  readonly #acl: Acl;
  readonly #sessions: Sessions;
  readonly #deliveries: Deliveries;
  readonly #connections = new Set<Connection>();
  readonly #bySocket = new WeakMap<object, Connection>();
  readonly #whoIs = new WeakMap<Client, Who>();
  readonly #forbidden = new WeakSet<object>();
  readonly #log = roomLogger("edge", "mqtt");
  #ids = new Map<string, Client>();

  private constructor(options: BrokerOptions) {
    this.#options = options;
    this.#deliveries = new Deliveries(options);
    this.#acl = new Acl(options.config.acl);
    const { queuedMessages } = options.config.limits;
    this.#sessions = new Sessions({
      limits: { queuedMessages },
      counters: options.counters,
      isOnline: (id) => this.#ids.has(id),
      maySubscribe: (client, filter) => this.#acl.maySubscribe(this.#who(client), filter),
    });
    this.#aedes = new Aedes({
      persistence: this.#sessions.persistence(),
      concurrency: 0, // bounded by what connections may have in hand
      connectTimeout: CONNECT_MS,
      maxInflightInbound: IN_FLIGHT_MAX,
      maxTopicLevels: TOPIC_LEVELS_MAX,
      authenticate: (client, user, password, done) => {
        void this.#authenticate(client, user ?? "", password).then(
          () => done(null, true),
          (error) => done(error, false),
        );
      },
      authorizeSubscribe: (client, sub, done) => done(null, this.#maySubscribe(client, sub)),
      authorizePublish: (client, packet, done) => this.#onPublish(client, packet, done),
      authorizeForward: (client, packet) => this.#forward(client, packet),
    });
    this.#skipForbidden();
    this.#listen();
  }

  static async open(options: BrokerOptions): Promise<Broker> {
    const broker = new Broker(options);
    await broker.#aedes.listen();
    return broker;
  }

  get clients(): number {
    return this.#ids.size;
  }

  accept(socket: Socket): void {
    const { config: { limits }, counters, clock } = this.#options;
    if (this.#connections.size >= limits.connections) {
      counters.drop("too_many_connections");
      socket.destroy();
      return;
    }
    const connection: Connection = new Connection(socket, {
      limits,
      packetBytesMax: PACKET_BYTES_MAX,
      counters,
      clock,
      onClose: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
    this.#bySocket.set(socket, connection);
    this.#aedes.handle(socket);
  }

  /** From the node itself; resolves when all who are there have been written to, or rejects. */
  async publish(topic: string, payload: string | Uint8Array): Promise<void> {
    const { counters } = this.#options;
    counters.messages.out++;
    const packet = {
      cmd: "publish" as const,
      topic,
      payload: typeof payload === "string" ? payload : Buffer.from(payload),
      qos: 1 as const,
      retain: false,
      dup: false,
    };
    await this.#deliveries.deliver(
      topic.length + payload.length,
      (done) => this.#aedes.publish(packet, done),
    );
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) connection.end();
    this.#deliveries.close();
    await new Promise<void>((resolve) => this.#aedes.close(() => resolve()));
  }

  async #authenticate(client: Client, user: string, password?: Uint8Array): Promise<void> {
    const { users, counters } = this.#options;
    if (client.id.length > CLIENT_ID_CHARS_MAX) throw refusal(2, "client id too long");
    if (!client.clean && !this.#sessions.hasRoom(client.id)) {
      counters.drop("too_many_sessions");
      throw refusal(3, "too many sessions");
    }
    if (users) {
      await users.load().catch((error) =>
        this.#log.warn("Users file cannot be used; the users known before count", {
          error: errorChain(error),
        })
      );
      if (!await users.verify(user, password ?? new Uint8Array())) {
        counters.drop("unauthorized");
        this.#log.warn("MQTT client refused", { client: client.id, user });
        throw refusal(4, "bad user name or password");
      }
    }
    this.#whoIs.set(client, { user: users ? user : "", client: client.id });
  }

  #maySubscribe<T extends { topic: string }>(client: Client, sub: T): T | null {
    const { counters, config } = this.#options;
    const { subscriptions } = client as unknown as { subscriptions: object }; // not in its types
    if (Object.keys(subscriptions).length >= config.limits.subscriptions) {
      counters.drop("too_many_subscriptions");
      return null;
    }
    if (
      sub.topic.length <= TOPIC_CHARS_MAX && this.#acl.maySubscribe(this.#who(client), sub.topic)
    ) {
      return sub;
    }
    counters.drop("forbidden");
    return null;
  }

  #onPublish(
    client: Client | null,
    packet: { topic: string; payload: string | Uint8Array },
    done: (error?: Error | null) => void,
  ): void {
    const { counters, take, onForbidden } = this.#options;
    const { topic } = packet;
    const isTooLong = topic.length > TOPIC_CHARS_MAX;
    if (!client || isTooLong) return done(isTooLong ? new Error("topic is too long") : null);
    counters.messages.in++;
    const payload = typeof packet.payload === "string"
      ? new TextEncoder().encode(packet.payload)
      : packet.payload;
    const message = { topic, payload, who: this.#who(client) };
    const isReserved = topic.startsWith("$SYS/");
    if (isReserved || !this.#acl.mayPublish(message.who, topic)) {
      counters.drop("forbidden");
      this.#forbidden.add(packet);
      if (!isReserved) onForbidden(message);
      return done(null); // 3.1.1 knows no other way to tell but to cut the connection
    }
    const taken = take(message).catch((error) =>
      this.#log.warn("Message was not taken", { topic, error: errorChain(error) })
    );
    void this.#bySocket.get(client.conn)?.inOrder(taken).then(() => done(null));
  }

  #forward(client: Client, packet: AedesPublishPacket): AedesPublishPacket | null {
    const connection = this.#bySocket.get(client.conn);
    if (!connection?.isSlow) return packet;
    this.#options.counters.drop("slow_client");
    // a message that must arrive waits in the session, if there is one, until it is back
    if (packet.qos > 0) connection.end();
    return packet.qos > 0 ? packet : null;
  }

  /** What is forbidden is acknowledged, and goes nowhere. */
  #skipForbidden(): void {
    const publish = this.#aedes.publish.bind(this.#aedes) as unknown as Publish;
    const guarded: Publish = (packet, client, done) => {
      if (this.#forbidden.has(packet)) done();
      else publish(packet, client, done);
    };
    Object.assign(this.#aedes, { publish: guarded });
  }

  #listen(): void {
    const aedes = this.#aedes;
    aedes.on("clientReady", (client: Client) => this.#ids.set(client.id, client));
    aedes.on("clientDisconnect", (client: Client) => {
      if (this.#ids.get(client.id) === client) this.#ids.delete(client.id);
    });
    const failed = (client: Client, error: Error) => {
      this.#log.debug("MQTT connection failed", { client: client.id, error: errorChain(error) });
    };
    aedes.on("clientError", failed);
    aedes.on("connectionError", (client: Client, error: Error) => {
      this.#options.counters.drop("protocol");
      failed(client, error);
    });
    const emitter: EventEmitter = aedes; // its own types leave this event out
    emitter.on("error", (error) => this.#log.warn("Broker", { error: errorChain(error) }));
  }

  #who(client: Client): Who {
    return this.#whoIs.get(client) ?? { user: "", client: client.id };
  }
}

function refusal(returnCode: number, message: string): AuthenticateError {
  return Object.assign(new Error(message), { returnCode }) as AuthenticateError; // its two fields
}
