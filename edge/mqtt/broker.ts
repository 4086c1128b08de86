/**
 * The broker inside the edge: aedes behind bounds. It speaks MQTT 3.1 and 3.1.1; a client of
 * version 5 gets that version's own refusal. A publication is acknowledged when whoever takes it
 * here has it on disk and each session it is for has it, or has it on disk (`sessions.ts`), in the
 * order a client sent them. A client that does not read is no burden to others: what waits for it
 * is bounded, then it is let go.
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
import type { BrokerStore, Message } from "./kept_rows.ts";
import type { Counters } from "./counters.ts";
import { Deliveries } from "./deliveries.ts";
import type { Users } from "./passwords.ts";
import type { MqttKept } from "./port.ts";
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
  store: BrokerStore;
  /** True while the disk is to be spared. */
  sparing: () => boolean;
  counters: Counters;
  clock: Clock;
}

interface Guest {
  connection: Connection;
  /** By its certificate; "" without. */
  name: string;
  who: Who;
  /** What its user was known by when it was let in. */
  proof?: string;
  /** The last message it was given: filters that overlap are one subscriber. */
  lastCounter: number;
}

type Done = (error?: Error | null) => void;
type Publish = (packet: Packet, client: Client | undefined, done: Done) => void;

/** As the library hands it on; a will has no `cmd`. */
interface Packet {
  cmd?: string;
  topic: string;
  payload: string | Uint8Array;
  qos: 0 | 1 | 2;
  retain: boolean;
  messageId?: number;
  brokerId?: string;
  brokerCounter?: number;
}

/** What its types leave out. */
interface AedesInside {
  id: string;
  counter: number;
  publish: Publish;
}

/** CONNACK of MQTT 5: unsupported protocol version, no properties. */
const REFUSED_V5 = Uint8Array.of(0x20, 3, 0, 0x84, 0);

export class Broker {
  readonly #options: BrokerOptions;
  readonly #aedes: Aedes;
  readonly #acl: Acl;
  readonly #sessions: Sessions;
  readonly #deliveries: Deliveries;
  readonly #connections = new Set<Connection>();
  /** By socket: the library says which client is whose. */
  readonly #guests = new WeakMap<object, Guest>();
  #usersVersion = 0;
  /** Packets that go nowhere, or went where they go: the library only acknowledges them. */
  readonly #finished = new WeakSet<object>();
  readonly #publish: Publish;
  #isForQos0 = false;
  readonly #log = roomLogger("edge", "mqtt");
  #ids = new Map<string, Client>();

  private constructor(options: BrokerOptions) {
    this.#options = options;
    this.#deliveries = new Deliveries(options);
    this.#acl = new Acl(options.config.acl);
    this.#sessions = new Sessions({
      ...options,
      limits: options.config.limits,
      isOnline: (id) => this.#ids.has(id),
      who: (client) => this.#who(client),
      maySubscribe: (who, filter) => this.#acl.maySubscribe(who, filter),
      canTake: async (client) => await this.#guest(client)?.connection.canTake() ?? false,
    });
    this.#aedes = new Aedes({
      persistence: this.#sessions.persistence(),
      concurrency: 0, // bounded by what connections may have in hand
      connectTimeout: CONNECT_MS,
      maxInflightInbound: IN_FLIGHT_MAX,
      maxTopicLevels: TOPIC_LEVELS_MAX,
      preConnect: (client, packet, done) => done(null, this.#speaks(client, packet)),
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
    const inside = this.#aedes as unknown as AedesInside; // not in its types
    this.#publish = inside.publish.bind(this.#aedes);
    inside.publish = (packet, client, done) => this.#publishOnce(packet, client, done);
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

  get kept(): MqttKept {
    return this.#sessions.counts();
  }

  retained(filter: string): Iterable<Message> {
    return this.#sessions.retained([filter]);
  }

  /** `name` is whom a certificate of the client names, where it had to show one. */
  accept(socket: Socket, name = ""): void {
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
    this.#guests.set(socket, { connection, name, who: NOBODY, lastCounter: -1 });
    this.#adjust(this.#aedes.handle(socket));
  }

  /**
   * From the node itself; resolves when all who are there have been written to, or rejects. With
   * `isKept` also those who are away will get it, whatever happens here.
   */
  async publish(topic: string, payload: string | Uint8Array, isKept = false): Promise<void> {
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
    await this.#deliveries.deliver(topic.length + payload.length, (done) => {
      if (!isKept) return this.#publish(packet, undefined, done);
      void this.#publishKept(packet, undefined).then(() => done(), done);
    });
  }

  /** Lets go of clients whose user is gone or has another password. */
  async lookAtUsers(): Promise<void> {
    const { users, counters } = this.#options;
    if (!users) return;
    await this.#loadUsers(users);
    if (users.version === this.#usersVersion) return;
    this.#usersVersion = users.version;
    for (const client of this.#ids.values()) {
      const guest = this.#guest(client);
      if (!guest || users.proofOf(guest.who.user) === guest.proof) continue;
      counters.drop("unauthorized");
      this.#log.info("MQTT client's user changed; it is let go", { client: client.id });
      guest.connection.end();
    }
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) connection.end();
    this.#deliveries.close();
    await new Promise<void>((resolve) => this.#aedes.close(() => resolve()));
    await this.#sessions.close();
  }

  /** Version 5 has a refusal of its own; the library refuses whatever else it does not know. */
  #speaks(client: Client, { protocolVersion }: { protocolVersion?: number }): boolean {
    if (protocolVersion !== 5) return true;
    this.#options.counters.drop("protocol");
    this.#guest(client)?.connection.refuse(REFUSED_V5);
    return false;
  }

  /**
   * The library tells overlapping filters by numbers that must rise, which they need not: here they
   * are told in `#forward`, which also has to know what goes out as QoS 0.
   */
  #adjust(client: Client): void {
    type Deliver = (packet: object, done: () => void) => void;
    const inside = client as unknown as { duplicates: object; deliver0: Deliver }; // not in types
    const { id } = this.#aedes as unknown as AedesInside; // not in its types
    Object.defineProperty(inside.duplicates, id, { get: () => 0, set: () => {} });
    const deliver0 = inside.deliver0;
    inside.deliver0 = (packet, done) => {
      this.#isForQos0 = true;
      try {
        deliver0(packet, done);
      } finally {
        this.#isForQos0 = false;
      }
    };
  }

  async #authenticate(client: Client, user: string, password?: Uint8Array): Promise<void> {
    const { users, counters } = this.#options;
    if (client.id.length > CLIENT_ID_CHARS_MAX || client.id.includes("\0")) {
      throw refusal(2, "client id too long, or with NUL");
    }
    if (!client.clean && !await this.#sessions.makeRoom(client.id)) {
      counters.drop("too_many_sessions");
      throw refusal(3, "too many sessions");
    }
    if (users) {
      await this.#loadUsers(users);
      const proof = users.proofOf(user);
      const guest = this.#guest(client);
      if (guest && proof !== undefined) guest.proof = proof;
      if (!await users.verify(user, password ?? new Uint8Array())) {
        counters.drop("unauthorized");
        this.#log.warn("MQTT client refused", { client: client.id, user });
        throw refusal(4, "bad user name or password");
      }
    }
    const guest = this.#guest(client);
    if (guest) guest.who = { user: users ? user : guest.name, client: client.id };
  }

  async #loadUsers(users: Users): Promise<void> {
    await users.load().catch((error) =>
      this.#log.warn("Users file cannot be used; the users known before count", {
        error: errorChain(error),
      })
    );
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

  #onPublish(client: Client | null, packet: Packet, done: Done): void {
    const { counters, take, onForbidden } = this.#options;
    const { topic } = packet;
    const isTooLong = topic.length > TOPIC_CHARS_MAX;
    if (!client || isTooLong) return done(isTooLong ? new Error("topic is too long") : null);
    // it came before; the library says so again
    if (packet.qos === 2 && this.#sessions.hasReceived(client, packet.messageId)) return done(null);
    counters.messages.in++;
    const payload = typeof packet.payload === "string"
      ? new TextEncoder().encode(packet.payload)
      : packet.payload;
    const message = { topic, payload, who: this.#who(client) };
    const isReserved = topic.startsWith("$SYS/");
    if (isReserved || !this.#acl.mayPublish(message.who, topic)) {
      counters.drop("forbidden");
      this.#finished.add(packet);
      if (!isReserved) onForbidden(message);
      return done(null); // 3.1.1 knows no other way to tell but to cut the connection
    }
    const taken = take(message).catch((error) =>
      this.#log.warn("Message was not taken", { topic, error: errorChain(error) })
    );
    const connection = this.#guest(client)?.connection;
    void connection?.inOrder(taken).then(() => {
      // the library would acknowledge first; a will is nobody's to acknowledge
      const mayBeKept = packet.qos === 1 && packet.cmd === "publish" &&
        (packet.retain || this.#sessions.hasAny || connection.isKeeping);
      if (!mayBeKept) return done(null);
      const kept = connection.keptInOrder(this.#publishKept(packet, client));
      return kept.then(() => {
        this.#finished.add(packet);
        done(null);
      }, (error) => this.#notKept(error, done));
    });
  }

  /** Called by the library for what was let through. */
  #publishOnce(packet: Packet, client: Client | undefined, done: Done): void {
    if (this.#finished.has(packet)) return done();
    if (!client || packet.qos !== 2 || packet.cmd !== "publish") {
      return this.#publish(packet, client, done);
    }
    void this.#publishKept(packet, client).then(() => this.#sessions.keepReceived(client)).then(
      () => done(),
      (error) => {
        this.#sessions.forgetReceived(client, packet.messageId);
        this.#notKept(error, done);
      },
    );
  }

  /** Its sender has no acknowledgement, and sends it again on its next connection. */
  #notKept(error: unknown, done: Done): void {
    this.#options.counters.drop("not_stored");
    done(new Error("not stored", { cause: error }));
  }

  /** Resolves when it may be acknowledged. */
  #publishKept(packet: Packet, client: Client | undefined): Promise<void> {
    const inside = this.#aedes as unknown as AedesInside; // not in its types
    const counter = ++inside.counter;
    const gate = this.#sessions.expect(counter, client?.id);
    packet.brokerId = inside.id;
    packet.brokerCounter = counter;
    this.#publish(packet, client, (error) => {
      if (error) this.#sessions.forget(counter);
      gate.passed(error ?? undefined);
    });
    return gate.kept;
  }

  #forward(client: Client, packet: AedesPublishPacket): AedesPublishPacket | null {
    const { messageId } = packet as Packet;
    if (messageId !== undefined) return packet; // a session is caught up with, at its pace
    const counter = packet.brokerCounter ?? 0;
    const isForSession = packet.qos > 0 && !client.clean && packet.brokerId !== null;
    const guest = this.#guest(client);
    if (!guest || guest.lastCounter === counter) return null;
    // another of its filters gets it the better way
    if (packet.brokerId === null) guest.connection.charge(packet.payload.length);
    if (this.#isForQos0 && isForSession && this.#sessions.waitsFor(client, counter)) return null;
    guest.lastCounter = counter;
    if (guest.connection.isSlow) {
      this.#options.counters.drop("slow_client");
      // a message that must arrive waits in the session, if there is one, until it is back
      if (packet.qos > 0) guest.connection.end();
      return null;
    }
    if (!isForSession) return packet;
    const sent = this.#sessions.sendNow(client, counter);
    if (sent === "later") return null;
    return sent === "none" ? packet : Object.assign(packet, sent);
  }

  #listen(): void {
    const aedes = this.#aedes;
    aedes.on("clientReady", (client: Client) => this.#ids.set(client.id, client));
    aedes.on("clientDisconnect", (client: Client) => {
      if (this.#ids.get(client.id) === client) this.#ids.delete(client.id);
      if (!this.#ids.has(client.id)) this.#sessions.left(client.id);
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

  #guest(client: Client): Guest | undefined {
    return this.#guests.get(client.conn);
  }

  #who(client: Client): Who {
    return this.#guest(client)?.who ?? NOBODY;
  }
}

/** Before it has said who it is. */
const NOBODY: Who = { user: "", client: "" };

function refusal(returnCode: number, message: string): AuthenticateError {
  return Object.assign(new Error(message), { returnCode }) as AuthenticateError; // its two fields
}
