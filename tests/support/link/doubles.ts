/**
 * Both ends of a link in memory, fast enough to measure what is between them: what the hub takes
 * from and gives to controllers, and what the link takes from and gives to the edge's store.
 */
import type { Projection, ReportOutcome, ReportSink } from "../../../cloud/hub/port.ts";
import type { LinkLedger, LinkOutbox } from "../../../edge/link/port.ts";
import type { OutboxItem, OutboxLane, Verdict } from "../../../edge/meta/port.ts";
import { Changes } from "../../../shared/async/wakeup.ts";
import {
  type DesiredBatch,
  type DesiredItem,
  inventoryDigest,
  type InventoryEntry,
} from "../../../shared/wire/desired.ts";
import type { Report } from "../../../shared/wire/report.ts";

/** Says that nodes hold nothing. */
export class EmptySource {
  readonly cloudId = "bench";
  readonly #none: Projection = { generation: 0, digest: inventoryDigest([]), items: new Map() };

  projection(): Projection {
    return this.#none;
  }

  subscribe(): () => void {
    return () => {};
  }

  acknowledged(): Promise<void> {
    return Promise.resolve();
  }
}

export class CountingSink implements ReportSink {
  applied = 0;
  /** By number, how often each reading was applied; a reading is an event named r0, r1 … */
  #times = new Uint8Array(1024);

  apply(_node: string, report: Report): Promise<ReportOutcome> {
    this.applied++;
    const name = report.kind === "event" ? report.event.metadata.name ?? "" : "";
    if (/^r\d{1,8}$/.test(name)) this.#count(Number(name.slice(1)));
    return Promise.resolve({ kind: "applied" });
  }

  /** How many readings were applied, and how many of them more than once. */
  get readings(): ReadingCounts {
    const once = this.#times.reduce((sum, times) => sum + Number(times > 0), 0);
    const twice = this.#times.reduce((sum, times) => sum + Number(times > 1), 0);
    return { applied: once, twice };
  }

  #count(i: number): void {
    if (i >= this.#times.length) {
      const grown = new Uint8Array(2 * i);
      grown.set(this.#times);
      this.#times = grown;
    }
    this.#times[i] = Math.min(255, this.#times[i]! + 1); // grown above
  }
}

export interface ReadingCounts {
  applied: number;
  twice: number;
}

export class MapLedger implements LinkLedger {
  head = { cloudId: "", generation: 0, digest: inventoryDigest([]) };
  readonly items = new Map<string, DesiredItem>();
  /** What every accepted step said: keys, with the uid of what came. */
  readonly steps: { upserts: string[]; deletes: string[] }[] = [];

  inventory(): InventoryEntry[] {
    return Array.from(this.items.values(), ({ key, uid, resourceVersion }) => {
      return { key, uid, resourceVersion };
    });
  }

  accept({ cloudId, generation, digest, deletes, upserts }: DesiredBatch): Promise<Verdict> {
    for (const key of deletes) this.items.delete(key);
    for (const item of upserts) this.items.set(item.key, item);
    this.head = { cloudId, generation, digest };
    this.steps.push({ upserts: upserts.map(({ key, uid }) => `${key} ${uid}`), deletes });
    return Promise.resolve({ kind: "commit" });
  }
}

/** First in, first out; no key twice. */
export class MapOutbox implements LinkOutbox {
  readonly changes = new Changes();
  readonly #items = new Map<number, OutboxItem>();
  readonly #drained: (() => void)[] = [];
  #sequence = 0;

  put(lane: OutboxLane, key: string, report: Report): number {
    const sequence = ++this.#sequence;
    this.#items.set(sequence, { sequence, lane, key, report });
    return sequence;
  }

  pending(after: number, limit: number, skip = (_: number) => false): OutboxItem[] {
    const found: OutboxItem[] = [];
    for (const item of this.#items.values()) {
      if (found.length >= limit) break;
      if (item.sequence > after && !skip(item.sequence)) found.push(item);
    }
    return found;
  }

  grant(): void {}

  acknowledge(sequences: readonly number[]): Promise<void> {
    for (const sequence of sequences) this.#items.delete(sequence);
    if (this.#items.size === 0) { for (const resolve of this.#drained.splice(0)) resolve(); }
    return Promise.resolve();
  }

  /** Resolves when nothing waits. */
  drained(): Promise<void> {
    if (this.#items.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }
}
