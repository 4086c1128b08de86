/**
 * A node's outbox with a long backlog of telemetry, on a real disk, drained into a sink in memory
 * or over the real hub and link, cut on the way. Counts are exact: which record arrived how often.
 */
import { SystemClock } from "../../shared/clock.ts";
import { SystemRandom } from "../../shared/random.ts";
import { DenoDisk } from "../../shared/store/deno_disk.ts";
import { type DurableStore, openStore } from "../../shared/store/durable_store.ts";
import type { Report } from "../../shared/wire/report.ts";
import { type Enrolled } from "../../edge/link/enroll.ts";
import { Link } from "../../edge/link/link.ts";
import { TLS_TRANSPORT } from "../../edge/link/transport.ts";
import { DurableOutbox } from "../../edge/meta/outbox.ts";
import type { OutboxStats } from "../../edge/meta/port.ts";
import { MapLedger } from "./link/doubles.ts";
import type { HubFacts } from "./link/hub_program.ts";

/** Records appended in one commit: a mapper's batch of readings. */
const BATCH = 500;
/** As the link sends. */
const WINDOW = 512;
const SEND = 64;

const clock = new SystemClock();
const random = new SystemRandom();

export class Backlog {
  readonly count: number;
  readonly #dir: string;
  #store: DurableStore | undefined;
  #outbox: DurableOutbox | undefined;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(dir: string, count: number) {
    this.#dir = dir;
    this.count = count;
  }

  get outbox(): DurableOutbox {
    if (!this.#outbox) throw new TypeError("Cannot use backlog: it is not open");
    return this.#outbox;
  }

  /** Opens the store as the edge does, in milliseconds. */
  async open(): Promise<number> {
    const startMs = clock.monotonicMs();
    this.#store = await openStore({ dir: this.#dir, disk: new DenoDisk(), clock });
    this.#outbox = new DurableOutbox({ store: this.#store, clock });
    this.#stop = new AbortController();
    this.#running = this.#outbox.run(this.#stop.signal).catch(() => {}); // ends with `close`
    return clock.monotonicMs() - startMs;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#store?.close();
  }

  async fill(): Promise<void> {
    for (let i = 0; i < this.count; i += BATCH) {
      const size = Math.min(BATCH, this.count - i);
      const records = Array.from({ length: size }, (_, j) => ({
        key: `devices/d${(i + j) % 100}`,
        report: reading(i + j),
      }));
      await this.outbox.append("telemetry", records);
    }
  }

  stats(): OutboxStats & { bytesWritten: number; removed: number } {
    const bytesWritten = this.#store?.stats().bytesWritten ?? 0;
    const removed = this.#store?.bulk.stats("outbox_telemetry/v1").removed ?? 0;
    return { ...this.outbox.stats(), bytesWritten, removed };
  }

  /**
   * Drains into memory as the link does, until `left` records wait; what is on its way then is lost
   * unacknowledged, as by a cut.
   */
  async drainToMemory(seen: Uint8Array, left: number): Promise<void> {
    const inFlight = new Set<number>();
    const { outbox } = this;
    let woken = Promise.withResolvers<void>();
    const unsubscribe = outbox.changes.subscribe(() => woken.resolve());
    try {
      for (let waiting = this.count; waiting > left;) {
        woken = Promise.withResolvers<void>();
        const room = Math.min(SEND, WINDOW - inFlight.size);
        const items = outbox.pending(0, inFlight.size + room)
          .filter((item) => !inFlight.has(item.sequence)).slice(0, room);
        for (const { sequence, report } of items) {
          inFlight.add(sequence);
          seen[numberOf(report)]!++;
        }
        if (items.length > 0 && inFlight.size < WINDOW) continue;
        if (inFlight.size > 0) {
          waiting = outbox.stats().depth;
          if (waiting <= left) break; // those in flight are not acknowledged: the cut
          await outbox.acknowledge([...inFlight]);
          inFlight.clear();
        } else await woken.promise;
        waiting = outbox.stats().depth;
      }
    } finally {
      unsubscribe();
    }
  }

  /** Drains over the link until `left` records wait, then cuts it. */
  async drainOverLink(facts: HubFacts, node: Enrolled, left: number): Promise<void> {
    const { outbox } = this;
    const link = new Link({
      addresses: [`127.0.0.1:${facts.port}`],
      identity: node,
      onRenewed: () => Promise.resolve(),
      transport: TLS_TRANSPORT,
      softwareVersion: "bench",
      ledger: new MapLedger(),
      outbox,
      handler: () => Promise.resolve(new Response()),
      clock,
      random,
    });
    const stop = new AbortController();
    const reached = Promise.withResolvers<void>();
    const unsubscribe = outbox.changes.subscribe(() => {
      if (outbox.stats().depth <= left) reached.resolve();
    });
    const done = link.run(stop.signal);
    await Promise.race([reached.promise, done]);
    unsubscribe();
    stop.abort();
    await done;
  }
}

function reading(i: number): Report {
  return {
    kind: "event",
    event: {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `r${i}`, namespace: "default" },
      involvedObject: { kind: "Device", namespace: "default", name: `d${i % 100}` },
      reason: "Reading",
      message: `temperature ${20 + i % 17}.5`,
      type: "Normal",
    },
  };
}

function numberOf(report: Report): number {
  return report.kind === "event" ? Number(report.event.metadata.name?.slice(1)) : 0;
}
