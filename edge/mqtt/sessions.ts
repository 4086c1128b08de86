/**
 * What the embedded broker holds for clients that are away, on disk and within bounds: the
 * library's own memory, of which only the matching of subscriptions is used, has neither. A
 * publication is *kept* when each session it is for has acknowledged it or has it on disk, and what
 * is retained is on disk; `expect` tells when.
 */
import { Buffer } from "node:buffer";
import { Readable } from "node:stream";
import type { Client, Subscription } from "aedes";
import memory from "aedes-persistence";
import type { Clock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { Who } from "./acl.ts";
import type { Counters } from "./counters.ts";
import type { BrokerStore, Message } from "./kept_rows.ts";
import type { MqttKept } from "./port.ts";
import { Received } from "./received.ts";
import { Retained } from "./retained.ts";
import { SessionQueues } from "./session_queues.ts";
import { PACKET_IDS } from "./session_queue.ts";
import { SessionTable } from "./session_table.ts";

/** A packet as the library hands it on. */
interface Packet {
  cmd: string;
  topic: string;
  payload: string | Uint8Array;
  qos: 0 | 1 | 2;
  brokerCounter: number;
  messageId?: number;
}

interface Subscriber {
  clientId: string;
  qos: number;
}

/** The part of the library's memory that is used: it matches subscriptions, and holds wills. */
interface Matching {
  addSubscriptions(client: { id: string }, subs: readonly Subscription[]): Promise<void>;
  removeSubscriptions(client: { id: string }, topics: readonly string[]): Promise<void>;
  cleanSubscriptions(client: { id: string }): Promise<void>;
  setup(broker: object): Promise<void>;
}

export interface SessionOptions {
  limits: { queuedMessages: number; subscriptions: number };
  store: BrokerStore;
  clock: Clock;
  counters: Counters;
  /** True while the disk is to be spared. */
  sparing: () => boolean;
  isOnline: (clientId: string) => boolean;
  who: (client: Client) => Who;
  /** A subscription that was refused is not kept either. */
  maySubscribe: (who: Who, filter: string) => boolean;
  /** False when the client is gone; waits while it does not read. */
  canTake: (client: Client) => Promise<boolean>;
}

/** What one publication waits for: that it went everywhere, and whoever else is told of. */
export class Gate {
  readonly by: string | undefined;
  /** Resolves when it may be acknowledged; rejects when it must not. */
  readonly kept: Promise<void>;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;
  #open = 1;
  #hasPassed = false;

  constructor(by: string | undefined) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.by = by;
    this.kept = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  wait(): void {
    this.#open++;
  }

  readonly done = (error?: unknown): void => {
    if (error !== undefined) this.#reject(error);
    else if (--this.#open === 0) this.#resolve();
  };

  /** It went everywhere; said twice it counts once. */
  passed(error?: unknown): void {
    if (this.#hasPassed && error === undefined) return;
    this.#hasPassed = true;
    this.done(error);
  }
}

export class Sessions {
  readonly #options: SessionOptions;
  readonly #table: SessionTable;
  readonly #received: Received;
  readonly #retained: Retained;
  /** By the broker's number of the message. */
  readonly #gates = new Map<number, Gate>();
  #queues: SessionQueues | undefined;
  #matching: Matching | undefined;

  /** Reads what is on disk; queues come with the broker that counts their messages. */
  constructor(options: SessionOptions) {
    this.#options = options;
    this.#table = new SessionTable({ ...options, filtersMax: options.limits.subscriptions });
    this.#received = new Received(options.store);
    this.#retained = new Retained(options);
  }

  /**
   * May `clientId` have a session that outlives its connection? Of those that have long been away
   * one gives way: who comes with ever new names must not shut out everybody for good.
   */
  async makeRoom(clientId: string): Promise<boolean> {
    if (this.#table.hasRoom(clientId)) return true;
    const oldest = this.#table.longestAway(this.#options.isOnline);
    if (oldest === undefined) return false;
    this.#options.counters.drop("session_gave_way");
    await this.#clean({ id: oldest });
    return true;
  }

  counts(): MqttKept {
    const queued = this.#queues?.size ?? 0;
    return { sessions: this.#table.size, queued, retained: this.#retained.size };
  }

  /** False while no message can be for a session. */
  get hasAny(): boolean {
    return this.#table.size > 0;
  }

  /** To be called before the message is published under this number, in the same turn. */
  expect(counter: number, by?: string): Gate {
    const gate = new Gate(by);
    this.#gates.set(counter, gate);
    return gate;
  }

  /** It was not published. */
  forget(counter: number): void {
    this.#gates.delete(counter);
  }

  /** Is this packet of QoS 2 one that came already? */
  hasReceived(client: Client, packetId: number | undefined): boolean {
    return packetId !== undefined && this.#received.has(client, packetId);
  }

  /** One that was not taken shall come again. */
  forgetReceived(client: Client, packetId: number | undefined): void {
    if (packetId !== undefined) this.#received.forget(client, packetId);
  }

  /** Before a packet of QoS 2 is acknowledged. */
  async keepReceived(client: Client): Promise<void> {
    await this.#received.keep(client);
  }

  /**
   * What a message of QoS 1 or 2 goes out with to a session now; "later" when it waits its turn or
   * went already, "none" when it waits for nobody here.
   */
  sendNow(client: Client, counter: number): { messageId: number; qos: 1 | 2 } | "later" | "none" {
    const queues = this.#queues;
    if (!queues?.has(client.id, counter)) return queues?.isFull(client.id) ? "later" : "none";
    const entry = queues.sendNow(client.id, counter, () => wantedId(client));
    return entry?.packetId === undefined ? "later" : { messageId: entry.packetId, qos: entry.qos };
  }

  /** True when a session waits for it. */
  waitsFor(client: Client, counter: number): boolean {
    return this.#queues?.has(client.id, counter) ?? false;
  }

  /** Its connection is gone. */
  left(clientId: string): void {
    this.#table.seen(clientId);
    this.#queues?.left(clientId);
  }

  /** Whatever is not on disk is written. */
  async close(): Promise<void> {
    await this.#retained.close();
    await this.#queues?.close();
  }

  /** As the library asks for it. */
  persistence(): object {
    // its types tell of callbacks and of no function; it has promises and is one
    const inner = (memory as unknown as () => Matching)();
    const matching: Matching = {
      setup: inner.setup.bind(inner),
      addSubscriptions: inner.addSubscriptions.bind(inner),
      removeSubscriptions: inner.removeSubscriptions.bind(inner),
      cleanSubscriptions: inner.cleanSubscriptions.bind(inner),
    };
    this.#matching = matching;
    return Object.assign(
      inner,
      // the library looks at the name of its kind
      { setup: async (broker: { counter: number }) => await this.#setup(broker, matching) },
      this.#subscriptions(matching),
      this.#outgoing(),
      this.#incoming(),
    );
  }

  async #setup(broker: { counter: number }, matching: Matching): Promise<void> {
    const { limits: { queuedMessages }, maySubscribe } = this.#options;
    await matching.setup(broker);
    const nextCounter = () => ++broker.counter;
    const options = { ...this.#options, queuedMessages, nextCounter };
    this.#queues = new SessionQueues(options, (client) => this.#table.has(client));
    for (const { who, filters } of this.#table.all()) {
      const allowed = filters.filter(({ topic }) => maySubscribe(who, topic));
      await matching.addSubscriptions({ id: who.client }, allowed as Subscription[]); // 0 to 2
    }
  }

  #subscriptions(matching: Matching) {
    const { who, maySubscribe } = this.#options;
    return {
      addSubscriptions: async (client: Client, subs: Subscription[]) => {
        const asked = who(client);
        const allowed = subs.filter(({ topic }) => maySubscribe(asked, topic));
        if (!this.#table.hasRoom(client.id)) {
          this.#options.counters.drop("too_many_sessions");
          throw new AppError("exhausted", "too many sessions");
        }
        await this.#table.add(asked, allowed);
        await matching.addSubscriptions(client, allowed);
      },
      removeSubscriptions: async (client: Client, topics: string[]) => {
        await this.#table.remove(client.id, topics);
        await matching.removeSubscriptions(client, topics);
      },
      // a session begins anew: what was kept for the old one is not for it
      cleanSubscriptions: (client: Client) => this.#clean(client),
    };
  }

  async #clean(client: { id: string }): Promise<void> {
    this.#queues?.clear(client.id);
    await this.#table.clear(client.id);
    await this.#matching?.cleanSubscriptions(client);
  }

  /** Retained messages on topics that match one of `filters`. */
  retained(filters: readonly string[]): Iterable<Message> {
    return this.#retained.matching(filters);
  }

  #outgoing() {
    const enqueue = (subs: readonly Subscriber[], packet: Packet): Promise<void> => {
      const gate = this.#gates.get(packet.brokerCounter);
      this.#gates.delete(packet.brokerCounter);
      if (subs.length > 0) {
        const message = messageOf(packet);
        const counter = packet.brokerCounter;
        this.#queues?.enqueue(targetsOf(subs, packet.qos), { counter, message, gate });
      }
      gate?.passed();
      return Promise.resolve();
    };
    return {
      storeRetained: (packet: Packet): Promise<void> => {
        const { topic, qos, payload } = messageOf(packet);
        // what the library read is part of something larger
        const kept = this.#retained.keep({ topic, qos, payload: Buffer.from(payload) });
        const gate = kept && this.#gates.get(packet.brokerCounter);
        gate?.wait();
        void kept?.then(() => gate?.done(), (error) => gate?.done(error));
        return Promise.resolve();
      },
      createRetainedStreamCombi: (filters: string[]) => Readable.from(this.#retainedFor(filters)),
      createRetainedStream: (filter: string) => Readable.from(this.#retainedFor([filter])),
      outgoingEnqueue: (sub: { clientId: string }, packet: Packet) =>
        enqueue([{ ...sub, qos: packet.qos }], packet),
      outgoingEnqueueCombi: enqueue,
      outgoingUpdate: async (client: Client, packet: Packet) => {
        await this.#queues?.update(client.id, packet);
      },
      outgoingClearMessageId: (client: Client, { messageId }: Packet) => {
        // without one the library gives up on what the session has yet to get
        if (messageId !== undefined) this.#queues?.acknowledge(client.id, messageId);
        return Promise.resolve();
      },
      outgoingStream: (client: Client) => {
        if (client.clean || !this.#queues) return Readable.from([]);
        return Readable.from(this.#queues.catchUp({
          id: client.id,
          wantedId: () => wantedId(client),
          canTake: () => this.#options.canTake(client),
        }));
      },
    };
  }

  #incoming() {
    return {
      incomingStorePacket: (client: Client, { messageId = 0 }: Packet) =>
        Promise.try(() => this.#received.add(client, messageId)),
      incomingGetPacket: (client: Client, { messageId = 0 }: Packet) => {
        if (this.#received.has(client, messageId)) return Promise.resolve({ messageId });
        return Promise.reject(new AppError("not_found", "no such packet"));
      },
      incomingDelPacket: (client: Client, { messageId = 0 }: Packet) =>
        this.#received.release(client, messageId),
      cleanIncoming: (client: Client) => this.#received.clear(client.id),
    };
  }

  *#retainedFor(filters: readonly string[]) {
    for (const { topic, payload, qos } of this.#retained.matching(filters)) {
      yield { cmd: "publish", topic, payload, qos, retain: true };
    }
  }
}

/** One for each client, however many of its filters match. */
function targetsOf(subs: readonly Subscriber[], qos: number): Map<string, 1 | 2> {
  const targets = new Map<string, 1 | 2>();
  for (const { clientId, qos: granted } of subs) {
    const both = Math.min(granted, qos) === 2 ? 2 : 1;
    targets.set(clientId, both === 2 ? 2 : targets.get(clientId) ?? 1);
  }
  return targets;
}

function messageOf({ topic, payload, qos }: Packet): Message {
  return { topic, payload: typeof payload === "string" ? Buffer.from(payload) : payload, qos };
}

/** The packet id the library would use next; it counts on for what is in no queue. */
function wantedId(client: Client): number {
  const counting = client as unknown as { _nextId: number }; // not in its types
  const id = counting._nextId;
  counting._nextId = id >= PACKET_IDS ? 1 : id + 1;
  return id;
}
