/**
 * Reports the cloud has not acknowledged, on disk: the latest per key of `control` and `status` in
 * present state, every `event` and `telemetry` record in the store's bulk view. One door to both.
 * Sequences of the two kinds never meet, and none is ever used twice.
 */
import { Changes, Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { recordId, type Store, type StoreOp } from "../../shared/store/port.ts";
import type { Report } from "../../shared/wire/report.ts";
import { STREAM } from "./buckets.ts";
import { BulkLane, type BulkLaneOptions } from "./bulk_lane.ts";
import { LatestLanes } from "./latest_lanes.ts";
import type {
  BulkLaneName,
  Outbox,
  OutboxItem,
  OutboxLane,
  OutboxRecord,
  OutboxStats,
  ReportMaker,
  Staged,
} from "./port.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Of the reports the cloud takes unacknowledged, events and telemetry together are at most three
 * quarters, and of telemetry's part a tenth is kept for what is live. The pace is one a small cloud
 * takes without its other nodes noticing; a million records need half a minute.
 */
export const BULK_LANES: Readonly<
  Record<BulkLaneName, Omit<BulkLaneOptions, "store" | "clock" | "lane" | "stream">>
> = {
  event: {
    ttlMs: 7 * DAY_MS,
    rowsMax: 10_000,
    bytesMax: 16 * 1024 * 1024,
    windowShare: 1 / 8,
    replayShare: 1 / 8,
    windowBytesMax: 1024 * 1024,
    pace: { perSecond: 5_000, burst: 500 },
    uniqueKeys: false,
  },
  telemetry: {
    ttlMs: 30 * DAY_MS,
    rowsMax: 5_000_000,
    bytesMax: 1024 * 1024 * 1024,
    windowShare: 5 / 8,
    replayShare: 9 / 16,
    windowBytesMax: 4 * 1024 * 1024,
    pace: { perSecond: 30_000, burst: 3_000 },
    uniqueKeys: true,
  },
};

/** Looks after the pace this often while something is held back. */
const PACE_MS = 50;
const EXPIRY_MS = 60_000;
/** Waiting events whose key is remembered, so that a repeat replaces one that was not sent yet. */
const EVENT_KEYS_MAX = 1_000;

export interface OutboxOptions {
  store: Store;
  clock: Clock;
  /** In place of BULK_LANES. */
  lanes?: Partial<Record<BulkLaneName, Partial<BulkLaneOptions>>>;
}

export class DurableOutbox implements Outbox {
  readonly changes = new Changes();
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #latest: LatestLanes;
  readonly #bulk: Record<BulkLaneName, BulkLane>;
  readonly #throttled = new Wakeup();
  /** Id of the latest waiting event per key; bounded, the oldest are forgotten. */
  readonly #eventIds = new Map<string, number>();

  constructor({ store, clock, lanes = {} }: OutboxOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#latest = new LatestLanes({ store, clock });
    const lane = (name: BulkLaneName, stream: string) =>
      new BulkLane({ ...BULK_LANES[name], ...lanes[name], store, clock, lane: name, stream });
    this.#bulk = {
      event: lane("event", STREAM.outboxEvent),
      telemetry: lane("telemetry", STREAM.outboxTelemetry),
    };
  }

  /** Keeps the pace of what is replayed, and drops what is too old, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#keepPace(signal), this.#expire(signal)]);
  }

  /** For a commit of the caller's when the store lost some. */
  skipLost(): StoreOp {
    return this.#latest.skipLost();
  }

  put(lane: OutboxLane, key: string, report: Report): Promise<number> {
    return this.putWith(lane, key, report, []);
  }

  /** `put` in one commit with `also`, which must append nothing. */
  async putWith(
    lane: OutboxLane,
    key: string,
    report: Report,
    also: readonly StoreOp[],
  ): Promise<number> {
    if (lane === "control" || lane === "status") {
      const sequence = await this.#latest.put(lane, key, report, also);
      this.changes.notify();
      return sequence;
    }
    const before = lane === "event" ? this.#replaceable(key) : undefined;
    const sequence = await this.#store.commit([
      ...also,
      ...(before === undefined ? [] : [this.#bulk.event.removal([before])]),
      ...this.#bulk[lane].ops([{ key, report }]),
    ]);
    const id = recordId(sequence, 0);
    this.#bulk[lane].appended(sequence, 1);
    if (lane === "event") this.#remember(key, id);
    this.changes.notify();
    return BulkLane.sequenceOf(id);
  }

  /** What puts a report, for a commit of the caller's, who calls `done` when it is over. */
  stage(lane: "control" | "status", key: string, report: Report): Staged {
    return this.#telling(this.#latest.stage(lane, key, report));
  }

  /**
   * What says in a commit of the caller's that there is news of `key`, whose report the maker makes
   * when it is sent. Nothing at all while an earlier mark waits.
   */
  stageMark(key: string): Staged {
    return this.#telling(this.#latest.stageMark(key));
  }

  /** What takes back the report of `key`, in a commit of the caller's. */
  stageRemoval(key: string): Staged {
    return this.#telling(this.#latest.stageRemoval(key));
  }

  /** Marks are not sent before there is somebody who makes their reports. */
  makeWith(maker: ReportMaker): void {
    this.#latest.makeWith(maker);
    this.changes.notify();
  }

  async append(lane: BulkLaneName, records: readonly OutboxRecord[]): Promise<void> {
    if (records.length === 0) return;
    const sequence = await this.#store.commit(this.#bulk[lane].ops(records));
    this.#bulk[lane].appended(sequence, records.length);
    this.changes.notify();
  }

  pending(
    afterSequence: number,
    limit: number,
    skip?: (sequence: number) => boolean,
  ): OutboxItem[] {
    const items: OutboxItem[] = [];
    const skipped = (sequence: number) => sequence <= afterSequence || (skip?.(sequence) ?? false);
    for (const lane of ["control", "status", "event"] as const) {
      items.push(...this.#latest.pending(lane, limit - items.length, skipped));
    }
    if (this.#latest.throttled) this.#throttled.wake();
    for (const lane of [this.#bulk.event, this.#bulk.telemetry]) {
      if (items.length >= limit) break;
      for (const item of lane.pending(skip)) {
        if (items.length >= limit) break;
        if (item.sequence > afterSequence) items.push(item);
      }
      if (lane.throttled) this.#throttled.wake();
    }
    return items;
  }

  grant(itemsMax: number): void {
    for (const lane of Object.values(this.#bulk)) lane.grant(itemsMax);
  }

  async acknowledge(sequences: readonly number[]): Promise<void> {
    const latest = this.#latest.acknowledgement(sequences);
    const lanes = Object.values(this.#bulk).map((lane) => lane.acknowledgement(sequences));
    const ops = [...latest.ops, ...lanes.flatMap((lane) => lane.ops)];
    if (ops.length === 0) return;
    let ok = false;
    try {
      await this.#store.commit(ops);
      ok = true;
    } finally {
      latest.done(ok);
      for (const lane of lanes) lane.done(ok);
    }
    this.changes.notify();
  }

  /** Of `control` and `status`; in the other lanes a key may have many records. */
  holds(key: string): boolean {
    return this.#latest.holds(key);
  }

  stats(): OutboxStats {
    const event = this.#bulk.event.stats();
    const telemetry = this.#bulk.telemetry.stats();
    const dropped: Record<string, number> = { ...this.#latest.dropped };
    for (const [lane, stats] of Object.entries({ event, telemetry })) {
      for (const [reason, count] of Object.entries(stats.dropped)) {
        dropped[`${lane}_${reason}`] = (dropped[`${lane}_${reason}`] ?? 0) + count;
      }
    }
    const lanes = {
      control: this.#latest.depthOf("control"),
      status: this.#latest.depthOf("status"),
      event: this.#latest.depthOf("event") + event.rows,
      telemetry: telemetry.rows,
    };
    const depth = Object.values(lanes).reduce((sum, count) => sum + count, 0);
    const stamps = [this.#latest.oldestAtMs(), event.oldestAtMs, telemetry.oldestAtMs]
      .filter((ms) => ms !== undefined);
    return { depth, oldestAtMs: stamps.length ? Math.min(...stamps) : undefined, dropped, lanes };
  }

  #telling({ ops, done }: Staged): Staged {
    return {
      ops,
      done: (ok) => {
        done(ok);
        if (ok && ops.length > 0) this.changes.notify();
      },
    };
  }

  #replaceable(key: string): number | undefined {
    const id = this.#eventIds.get(key);
    return id !== undefined && this.#bulk.event.untouched(id) ? id : undefined;
  }

  #remember(key: string, id: number): void {
    this.#eventIds.delete(key);
    this.#eventIds.set(key, id);
    const oldest = this.#eventIds.keys().next().value;
    if (this.#eventIds.size > EVENT_KEYS_MAX && oldest !== undefined) {
      this.#eventIds.delete(oldest);
    }
  }

  async #keepPace(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#throttled.wait(signal);
      await this.#clock.sleep(PACE_MS, signal);
      this.changes.notify();
    }
  }

  async #expire(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#clock.sleep(EXPIRY_MS, signal);
      this.#store.bulk.expire();
    }
  }
}
