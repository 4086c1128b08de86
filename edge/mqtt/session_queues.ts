/**
 * The queues of all sessions, within bounds of messages and bytes, and how one is caught up with
 * when its client comes back: in order, no faster than the client reads, nothing new before what
 * waits. Payloads of those who are away lie on the disk only.
 */
import type { Clock } from "../../shared/clock.ts";
import type { Counters } from "./counters.ts";
import {
  type BrokerStore,
  type Message,
  parseSent,
  queuedRows,
  readQueued,
  rowsOf,
  SENT_BUCKET,
  type SentRow,
} from "./kept_rows.ts";
import { QueueWriter } from "./queue_writer.ts";
import { type Entry, SessionQueue } from "./session_queue.ts";

const QUEUED_BYTES_MAX = 16 * 1024 * 1024;
const QUEUED_MAX = 65_000;
/** One that is there acknowledges soon; its queue may be so many times longer. */
const ONLINE_FACTOR = 4;
/** Below the number of packet ids. */
const QUEUE_MAX = 65_000;
/** What a message costs in memory beside its bytes, roughly. */
const ENTRY_BYTES = 64;

export interface QueuesOptions {
  store: BrokerStore;
  clock: Clock;
  counters: Counters;
  /** Messages kept for one client that is away. */
  queuedMessages: number;
  isOnline: (client: string) => boolean;
  /** The broker's next number of a message. */
  nextCounter: () => number;
}

/** Who waits until a message is kept. */
export interface Keeping {
  /** The client that sent it. */
  by: string | undefined;
  wait(): void;
  done(error?: unknown): void;
}

/** What goes to a client that catches up, as the library takes it. */
export interface Outgoing {
  cmd: "publish" | "pubrel";
  brokerCounter: number;
  messageId: number;
  topic?: string;
  payload?: Uint8Array;
  qos: 1 | 2;
  retain: false;
  dup: boolean;
}

/** A connection of a client that catches up. */
export interface Reader {
  id: string;
  /** Packet id wanted for the next message. */
  wantedId: () => number;
  /** False when it is gone. */
  canTake: () => Promise<boolean>;
}

export class SessionQueues {
  readonly #options: QueuesOptions;
  readonly #queues = new Map<string, SessionQueue>();
  readonly #writer: QueueWriter;
  /** Who waits until a message is on its way. */
  readonly #handed = new Map<Entry, () => void>();
  #bytes = 0;
  #messages = 0;

  constructor(options: QueuesOptions, hasSession: (client: string) => boolean) {
    this.#options = options;
    this.#writer = new QueueWriter(options);
    this.#load(hasSession);
  }

  get size(): number {
    return this.#messages;
  }

  /** For each of `targets`, by its QoS; `gate` waits for each and is told when it is kept. */
  enqueue(
    targets: ReadonlyMap<string, 1 | 2>,
    { counter, message, gate }: { counter: number; message: Message; gate: Keeping | undefined },
  ): void {
    const now: Entry[] = [];
    for (const [client, qos] of targets) {
      const queue = this.#accepting(client, message);
      if (!queue) continue;
      const entry = newEntry({ client, counter, qos, message });
      gate?.wait();
      entry.onKept = gate?.done;
      this.#add(queue, entry);
      // one that waits for its own message here could not acknowledge it
      const isSoon = this.#options.isOnline(client) && !queue.isCatchingUp && client !== gate?.by;
      if (!isSoon || !this.#writer.writeLate(entry)) now.push(entry);
    }
    if (now.length > 0) {
      void this.#writer.write(now).then(() => this.#rest(now)); // tells each entry
    }
  }

  /** The packet id a new message goes out with; undefined when it goes another time, or went. */
  sendNow(client: string, counter: number, wantedId: () => number): Entry | undefined {
    const queue = this.#queues.get(client);
    const entry = queue?.get(counter);
    if (!queue || !entry || queue.isCatchingUp || entry.state !== "waiting") return undefined;
    queue.send(entry, wantedId());
    return entry;
  }

  has(client: string, counter: number): boolean {
    return this.#queues.get(client)?.get(counter) !== undefined;
  }

  isFull(client: string): boolean {
    const size = this.#queues.get(client)?.size ?? 0;
    return size >= this.#most(client) || this.#bytes >= QUEUED_BYTES_MAX ||
      this.#messages >= QUEUED_MAX;
  }

  /** What waited for a client that is back, one by one: the next when this one is on its way. */
  async *catchUp(reader: Reader): AsyncGenerator<Outgoing> {
    const queue = this.#queueOf(reader.id);
    queue.begin(reader);
    try {
      for (;;) {
        const entry = queue.next(reader);
        if (!entry || !await reader.canTake()) return;
        if (entry.state === "gone") continue;
        const outgoing = this.#outgoing(queue, entry, reader);
        if (!outgoing) continue;
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#handed.set(entry, resolve);
        yield outgoing;
        await promise;
        this.#handed.delete(entry);
      }
    } finally {
      queue.end(reader);
      this.#tidy(reader.id);
    }
  }

  /** It goes to the client now; resolves when it may. */
  async update(client: string, packet: { cmd: string; messageId?: number }): Promise<void> {
    const { messageId } = packet;
    const entry = messageId === undefined
      ? undefined
      : this.#queues.get(client)?.withPacketId(messageId);
    if (!entry) return; // retained ones are in no queue
    const isReleased = packet.cmd === "pubrel";
    if (entry.qos === 2 && (isReleased ? entry.state !== "released" : true)) {
      if (isReleased) entry.state = "released";
      await this.#writer.mark(entry, isReleased);
    }
    this.#handed.get(entry)?.();
  }

  acknowledge(client: string, packetId: number): void {
    const queue = this.#queues.get(client);
    const entry = queue?.withPacketId(packetId);
    if (!queue || !entry) return;
    this.#remove(queue, entry);
    this.#tidy(client);
  }

  /** The connection is gone. */
  left(client: string): void {
    const queue = this.#queues.get(client);
    if (!queue) return;
    const entries = [...queue.all()];
    for (const entry of entries) this.#handed.get(entry)?.();
    this.#writer.forget(client);
    void this.#writer.write(entries).then(() => this.#rest(entries)); // tells each entry
    this.#rest(entries);
    this.#tidy(client);
  }

  /** The session begins anew: what was kept for the old one is not for it. */
  clear(client: string): void {
    const queue = this.#queues.get(client);
    if (!queue) return;
    for (const entry of [...queue.all()]) this.#remove(queue, entry);
    this.#queues.delete(client);
  }

  async close(): Promise<void> {
    await this.#writer.close();
  }

  #load(hasSession: (client: string) => boolean): void {
    const { store, nextCounter } = this.#options;
    const sent = new Map<number, SentRow>();
    for (const { key, value } of rowsOf(store, SENT_BUCKET)) {
      const row = parseSent(value);
      if (row) sent.set(Number(key), row);
    }
    for (const { id, client, message } of queuedRows(store)) {
      const qos = message?.qos === 2 ? 2 : 1;
      const entry = newEntry({
        client,
        counter: nextCounter(),
        qos,
        message: message ?? { topic: "", payload: new Uint8Array(), qos },
      });
      entry.row = id;
      entry.message = undefined;
      const mark = sent.get(id);
      if (mark) {
        entry.packetId = mark.packetId;
        entry.state = mark.isReleased ? "released" : "sent";
      }
      if (message && hasSession(client)) this.#add(this.#queueOf(client), entry);
      else this.#writer.remove(entry);
    }
  }

  #outgoing(queue: SessionQueue, entry: Entry, reader: Reader): Outgoing | undefined {
    const { counter: brokerCounter, qos, row } = entry;
    const dup = entry.packetId !== undefined;
    const base = { brokerCounter, qos, retain: false as const };
    if (entry.state === "released") {
      const messageId = queue.send(entry, reader.wantedId());
      return { cmd: "pubrel", ...base, messageId, dup: false };
    }
    const message = entry.message ??
      (row === undefined ? undefined : readQueued(this.#options.store, row));
    if (!message) {
      // its bytes were lost with a damaged file, which the store has said
      this.#options.counters.drop("session_message_lost");
      this.#remove(queue, entry);
      return undefined;
    }
    const { topic } = message;
    const messageId = queue.send(entry, reader.wantedId());
    return { cmd: "publish", ...base, messageId, topic, payload: message.payload, dup };
  }

  #queueOf(client: string): SessionQueue {
    const queue = this.#queues.get(client) ?? new SessionQueue();
    this.#queues.set(client, queue);
    return queue;
  }

  #most(client: string): number {
    const { queuedMessages, isOnline } = this.#options;
    return Math.min(QUEUE_MAX, queuedMessages * (isOnline(client) ? ONLINE_FACTOR : 1));
  }

  #accepting(client: string, message: Message): SessionQueue | undefined {
    const queue = this.#queueOf(client);
    const isTooMuch = this.#bytes + sizeOf(message) > QUEUED_BYTES_MAX ||
      this.#messages >= QUEUED_MAX;
    if (queue.size < this.#most(client) && !isTooMuch) return queue;
    this.#options.counters.drop("session_queue_full");
    return undefined;
  }

  #add(queue: SessionQueue, entry: Entry): void {
    queue.add(entry);
    this.#bytes += entry.bytes;
    this.#messages++;
  }

  #remove(queue: SessionQueue, entry: Entry): void {
    queue.remove(entry);
    this.#bytes -= entry.bytes;
    this.#messages--;
    this.#writer.remove(entry);
    this.#handed.get(entry)?.();
  }

  /** What is on disk and is not on its way need not be in memory as well. */
  #rest(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.row !== undefined && !this.#options.isOnline(entry.client)) {
        entry.message = undefined;
      }
    }
  }

  #tidy(client: string): void {
    const queue = this.#queues.get(client);
    if (queue && queue.size === 0 && !queue.isCatchingUp) this.#queues.delete(client);
  }
}

function newEntry(
  { client, counter, qos, message }: {
    client: string;
    counter: number;
    qos: 1 | 2;
    message: Message;
  },
): Entry {
  return {
    client,
    counter,
    qos,
    bytes: sizeOf(message),
    message: { ...message, qos },
    row: undefined,
    writing: undefined,
    packetId: undefined,
    state: "waiting",
    onKept: undefined,
  };
}

function sizeOf({ topic, payload }: Message): number {
  return topic.length + payload.length + ENTRY_BYTES;
}
