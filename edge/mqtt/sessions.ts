/**
 * What the embedded broker holds for clients that are away, within bounds: the library's memory has
 * none. Messages beyond a queue's bound are dropped, the new ones, and counted.
 */
import type { Client, Subscription } from "aedes";
import memory from "aedes-persistence";
import type { Counters } from "./counters.ts";

export interface SessionLimits {
  /** Messages kept for one client that is away. */
  queuedMessages: number;
}

const SESSIONS_MAX = 1_000;
const QUEUED_BYTES_MAX = 16 * 1024 * 1024;
const RETAINED_MAX = 10_000;
const RETAINED_BYTES_MAX = 8 * 1024 * 1024;
/** One that is there acknowledges soon; its queue may be so many times longer. */
const ONLINE_FACTOR = 4;

interface Stored {
  topic: string;
  payload: string | Uint8Array;
}

/** The part of the library's memory that is held to bounds; each returns a promise. */
interface Memory {
  storeRetained(packet: Stored): Promise<void>;
  addSubscriptions(client: Client, subs: Subscription[]): Promise<void>;
  cleanSubscriptions(client: Client): Promise<void>;
  outgoingEnqueue(sub: { clientId: string }, packet: Stored): Promise<void>;
  outgoingEnqueueCombi(subs: { clientId: string }[], packet: Stored): Promise<void>;
  outgoingClearMessageId(client: Client, packet: object): Promise<Stored | undefined>;
  outgoingStream(client: Client): AsyncIterable<Stored>;
}

interface Queue {
  messages: number;
  bytes: number;
}

export interface SessionOptions {
  limits: SessionLimits;
  counters: Counters;
  isOnline: (clientId: string) => boolean;
  /** A subscription that was refused is not kept either. */
  maySubscribe: (client: Client, filter: string) => boolean;
}

export class Sessions {
  readonly #options: SessionOptions;
  readonly #sessions = new Set<string>();
  readonly #queues = new Map<string, Queue>();
  readonly #retained = new Map<string, number>();
  #queuedBytes = 0;
  #retainedBytes = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** May `clientId` have a session that outlives its connection? */
  hasRoom(clientId: string): boolean {
    return this.#sessions.has(clientId) || this.#sessions.size < SESSIONS_MAX;
  }

  /** The library's memory, with these bounds in front. */
  persistence(): object {
    // its types tell of callbacks and of no function; it has promises and is one
    const inner = (memory as unknown as () => Memory)();
    const clear = inner.outgoingClearMessageId.bind(inner);
    const enqueue = inner.outgoingEnqueueCombi.bind(inner);
    const storeRetained = inner.storeRetained.bind(inner);
    const addSubscriptions = inner.addSubscriptions.bind(inner);
    const cleanSubscriptions = inner.cleanSubscriptions.bind(inner);
    const { maySubscribe } = this.#options;
    return Object.assign(inner, {
      storeRetained: async (packet: Stored) => {
        if (this.#keepsRetained(packet)) await storeRetained(packet);
      },
      addSubscriptions: async (client: Client, subs: Subscription[]) => {
        this.#sessions.add(client.id);
        await addSubscriptions(client, subs.filter(({ topic }) => maySubscribe(client, topic)));
      },
      outgoingEnqueue: async (sub: { clientId: string }, packet: Stored) => {
        await enqueue(this.#accepting([sub], packet), packet);
      },
      outgoingEnqueueCombi: async (subs: { clientId: string }[], packet: Stored) => {
        await enqueue(this.#accepting(subs, packet), packet);
      },
      outgoingClearMessageId: async (client: Client, packet: object) => {
        const cleared = await clear(client, packet);
        if (cleared) this.#left(client.id, cleared);
        return cleared;
      },
      // a session begins anew: what was kept for the old one is not for it
      cleanSubscriptions: async (client: Client) => {
        this.#sessions.delete(client.id);
        for await (const packet of inner.outgoingStream(client)) await clear(client, packet);
        this.#forget(client.id);
        await cleanSubscriptions(client);
      },
    });
  }

  #accepting(subs: { clientId: string }[], packet: Stored): { clientId: string }[] {
    const bytes = sizeOf(packet);
    return subs.filter(({ clientId }) => {
      const { limits, isOnline, counters } = this.#options;
      const queue = this.#queues.get(clientId) ?? { messages: 0, bytes: 0 };
      const most = limits.queuedMessages * (isOnline(clientId) ? ONLINE_FACTOR : 1);
      if (queue.messages >= most || this.#queuedBytes + bytes > QUEUED_BYTES_MAX) {
        counters.drop("session_queue_full");
        return false;
      }
      queue.messages++;
      queue.bytes += bytes;
      this.#queuedBytes += bytes;
      this.#queues.set(clientId, queue);
      return true;
    });
  }

  #left(clientId: string, packet: Stored): void {
    const queue = this.#queues.get(clientId);
    if (!queue) return;
    const bytes = Math.min(sizeOf(packet), queue.bytes);
    queue.messages--;
    queue.bytes -= bytes;
    this.#queuedBytes -= bytes;
    if (queue.messages <= 0) this.#forget(clientId);
  }

  #forget(clientId: string): void {
    this.#queuedBytes -= this.#queues.get(clientId)?.bytes ?? 0;
    this.#queues.delete(clientId);
  }

  #keepsRetained(packet: Stored): boolean {
    const before = this.#retained.get(packet.topic);
    const isRemoval = packet.payload.length === 0;
    const bytes = isRemoval ? 0 : sizeOf(packet);
    const after = this.#retainedBytes - (before ?? 0) + bytes;
    const isFull = (before === undefined && this.#retained.size >= RETAINED_MAX) ||
      after > RETAINED_BYTES_MAX;
    if (!isRemoval && isFull) {
      this.#options.counters.drop("retained_full");
      return false;
    }
    this.#retainedBytes = after;
    if (isRemoval) this.#retained.delete(packet.topic);
    else this.#retained.set(packet.topic, bytes);
    return true;
  }
}

function sizeOf({ topic, payload }: Stored): number {
  // 64: what a packet costs beside its bytes, roughly
  return (topic?.length ?? 0) + (payload?.length ?? 0) + 64;
}
