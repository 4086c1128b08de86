/**
 * Samples that wait for their destinations: one stream of the bulk file each, so that nothing of a
 * backlog is in memory, and one that is away costs no other its place. Streams are numbered slots
 * that destinations take when they are first needed and give back when nothing is left of them.
 * Bounded by number of destinations and, each, by rows, bytes and age; the oldest go first. Every
 * sample ever queued waits, was delivered, or was dropped for one reason: counted on disk.
 */
import { KeyedMutex } from "../../shared/async/keyed_mutex.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Store, StoreOp } from "../../shared/store/port.ts";
import { type Destination, PUSH_BUCKET, type Sample } from "./port.ts";
import { destinationKey } from "./routes.ts";

/** Servers a site's devices push to; each may hold its share of the disk. */
export const DESTINATIONS_MAX = 16;
const DAY_MS = 24 * 60 * 60 * 1000;

export interface QueueLimits {
  ttlMs: number;
  rowsMax: number;
  bytesMax: number;
}

/** A week of one value a second, or of six values every ten seconds. */
export const QUEUE_LIMITS: QueueLimits = {
  ttlMs: 7 * DAY_MS,
  rowsMax: 600_000,
  bytesMax: 16 * 1024 * 1024,
};

interface Counts {
  delivered: number;
  refused: number;
}

/** A slot that is taken, as it is stored. */
interface SlotRow extends Counts {
  destination: Destination;
  /** Drops of the stream before this destination had it. */
  before: Record<string, number>;
}

export interface QueuedSample {
  id: number;
  sample: Sample;
}

export interface QueueFacts {
  queued: number;
  queuedBytes: number;
  oldestAtMs?: number;
  delivered: number;
  dropped: Record<string, number>;
}

/** The queue of one destination. */
export class PushQueue {
  /** Woken when a sample has come. */
  readonly news = new Wakeup();
  readonly destination: Destination;
  readonly slot: string;
  /** Its slot is on disk: so before anything is delivered. */
  isStored = false;
  readonly #store: Store;
  readonly #row: SlotRow;
  /** What is being delivered is not dropped. */
  readonly #onTheWay = new Set<number>();

  constructor(store: Store, slot: string, row: SlotRow, limits: QueueLimits) {
    this.#store = store;
    this.slot = slot;
    this.#row = row;
    this.destination = row.destination;
    const keep = (id: number) => this.#onTheWay.has(id);
    store.bulk.declare(this.stream, { ...limits, keep });
  }

  get stream(): string {
    return streamOf(this.slot);
  }

  /** What makes its slot durable, until it is. */
  slotOps(): StoreOp[] {
    if (this.isStored) return [];
    return [{ op: "put", bucket: PUSH_BUCKET, key: this.slot, value: this.#row }];
  }

  /** The oldest ones. They are not dropped until `settle`. */
  read(limit: number, bytesMax: number): QueuedSample[] {
    const rows = this.#store.bulk.read<Sample>(this.stream, { limit, bytesMax });
    this.#onTheWay.clear();
    for (const { id } of rows) this.#onTheWay.add(id);
    return rows.map(({ id, value }) => ({ id, sample: value }));
  }

  /** Forgets what was delivered and what never can be. */
  async settle(delivered: readonly number[], refused: readonly number[]): Promise<void> {
    const ids = [...delivered, ...refused];
    if (ids.length > 0) {
      const row = {
        ...this.#row,
        delivered: this.#row.delivered + delivered.length,
        refused: this.#row.refused + refused.length,
      };
      await this.#store.commit([
        { op: "remove", stream: this.stream, ids },
        { op: "put", bucket: PUSH_BUCKET, key: this.slot, value: row },
      ]);
      Object.assign(this.#row, row);
    }
    this.#onTheWay.clear();
  }

  facts(): QueueFacts {
    const { rows, bytes, dropped, oldestAtMs } = this.#store.bulk.stats(this.stream);
    const { before, delivered, refused } = this.#row;
    const since = Object.entries(dropped).map(([why, count]) => [why, count - (before[why] ?? 0)]);
    const own = Object.fromEntries(since.filter(([, count]) => count !== 0));
    return {
      queued: rows,
      queuedBytes: bytes,
      ...(oldestAtMs === undefined ? {} : { oldestAtMs }),
      delivered,
      dropped: refused > 0 ? { ...own, refused } : own,
    };
  }
}

/** All of them. */
export class PushQueues {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #limits: QueueLimits;
  /** Appends and releases: a slot is not given back under a sample that is on its way to it. */
  readonly #turns = new KeyedMutex();
  readonly #byDestination = new Map<string, PushQueue>();

  /** Told when a destination has taken a slot. */
  onTaken: () => void = () => {};

  constructor(store: Store, clock: Clock, limits: QueueLimits = QUEUE_LIMITS) {
    this.#store = store;
    this.#clock = clock;
    this.#limits = limits;
    for (const { key, value } of store.list<SlotRow>(PUSH_BUCKET)) {
      this.#take(key, value).isStored = true;
    }
  }

  list(): PushQueue[] {
    return [...this.#byDestination.values()];
  }

  /**
   * Queues all of them, and writes `beside`, in one commit; then wakes who delivers. Says how many
   * found no place, because there are too many destinations.
   */
  async append(
    samples: readonly { destination: Destination; sample: Sample }[],
    beside: readonly StoreOp[],
  ): Promise<number> {
    return await this.#turns.run("", () => this.#append(samples, beside));
  }

  async #append(
    samples: readonly { destination: Destination; sample: Sample }[],
    beside: readonly StoreOp[],
  ): Promise<number> {
    const queues = new Set<PushQueue>();
    const appends: StoreOp[] = [];
    const atMs = this.#clock.nowMs();
    for (const { destination, sample } of samples) {
      const queue = this.#of(destination);
      if (!queue) continue;
      queues.add(queue);
      const key = `${sample.namespace}/${sample.device}/${sample.property}`;
      appends.push({ op: "append", stream: queue.stream, key, value: sample, atMs });
    }
    const slots = [...queues].flatMap((queue) => queue.slotOps());
    await this.#store.commit([...slots, ...appends, ...beside]);
    for (const queue of queues) {
      queue.isStored = true;
      queue.news.wake();
    }
    return samples.length - appends.length;
  }

  /** Gives the slot back, unless something waits in it; true when it did. */
  async release(queue: PushQueue): Promise<boolean> {
    return await this.#turns.run("", async () => {
      if (!queue.isStored || queue.facts().queued > 0) return false;
      await this.#store.commit([{ op: "delete", bucket: PUSH_BUCKET, key: queue.slot }]);
      this.#byDestination.delete(destinationKey(queue.destination));
      return true;
    });
  }

  /** The destination's queue, taken now if need be; undefined when there are too many. */
  #of(destination: Destination): PushQueue | undefined {
    const known = this.#byDestination.get(destinationKey(destination));
    if (known) return known;
    const slot = this.#freeSlot();
    if (slot === undefined) return undefined;
    const before = { ...this.#store.bulk.stats(streamOf(slot)).dropped };
    const queue = this.#take(slot, { destination, before, delivered: 0, refused: 0 });
    this.onTaken();
    return queue;
  }

  #take(slot: string, row: SlotRow): PushQueue {
    const queue = new PushQueue(this.#store, slot, row, this.#limits);
    this.#byDestination.set(destinationKey(row.destination), queue);
    return queue;
  }

  #freeSlot(): string | undefined {
    const taken = new Set(this.list().map((queue) => queue.slot));
    for (let i = 0; i < DESTINATIONS_MAX; i++) {
      const slot = String(i).padStart(2, "0");
      if (!taken.has(slot)) return slot;
    }
    return undefined;
  }
}

function streamOf(slot: string): string {
  return `push/v1/${slot}`;
}
