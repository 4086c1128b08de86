/**
 * Makes samples of what devices report and queues them: at each change, or each `reportCycle` of
 * the property. What was queued last of a property is on disk, in the commit of the sample, so that
 * neither a crash between a report and its sample nor a restart loses or repeats one. A reader that
 * falls behind sees only the latest of several values; how many it did not see is counted.
 *
 * With a cycle, the latest value is sampled again as long as the device is heard of in between: a
 * series has no holes while the device says the same, and does not go on when it falls silent.
 */
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import { type Clock, nextTurn } from "../../shared/clock.ts";
import { errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Store, StoreOp } from "../../shared/store/port.ts";
import type { FeedItem, TwinChange } from "../twins/port.ts";
import {
  deviceText,
  type PushDevice,
  type Pushed,
  type PushRoute,
  type PushTwins,
  type Sample,
} from "./port.ts";
import type { PushQueues } from "./queues.ts";
import type { RouteTable } from "./route_table.ts";

/** Property -> the version of reported that was queued last. */
export const PUSH_MARKS_BUCKET = "push_marks/v1";
/** Samples in one commit. */
const BATCH_MAX = 500;
/** Devices looked at before others may run. */
const SLICE_DEVICES = 200;
/** While the disk takes nothing. */
const RETRY_MS = 2_000;

const log = roomLogger("edge", "push");

interface Mark {
  uid: string;
  version: number;
  /** Of the sample. */
  atMs: number;
}

export interface SamplerOptions {
  twins: PushTwins;
  table: RouteTable;
  queues: PushQueues;
  store: Store;
  clock: Clock;
  /** True for protocols whose mapper pushes by itself. */
  isMappers?: ((protocol: string) => boolean) | undefined;
  /** Routes have changed. */
  onRoutes: () => void;
}

interface Taken {
  sample: Omit<Sample, "detail">;
  routes: readonly PushRoute[];
  key: string;
  mark: Mark;
}

export class Sampler {
  /** Values that a later one replaced before they could be sampled. */
  coalesced = 0;
  /** Values of destinations beyond the number there may be. */
  unplaced = 0;
  readonly #options: SamplerOptions;
  readonly #cyclesChanged = new Wakeup();
  /** Cycle -> when it is due next, monotonic. */
  #dueMs = new Map<number, number>();

  constructor(options: SamplerOptions) {
    this.#options = options;
  }

  /** Follows the devices' changes. */
  async follow(signal: AbortSignal): Promise<void> {
    const { twins, clock } = this.#options;
    const kinds: TwinChange["kind"][] = ["added", "updated", "removed", "reported"];
    let feed = twins.subscribe({ kinds });
    try {
      for (;;) {
        const item = await feed.next(signal);
        try {
          await this.#read(item, signal);
        } catch (error) {
          signal.throwIfAborted();
          log.warning("Values to push not queued", { error: errorChain(error) });
          await clock.sleep(RETRY_MS, signal);
          feed.close();
          feed = twins.subscribe({ kinds }); // begins with everything
        }
      }
    } finally {
      feed.close();
    }
  }

  /** Samples what has a cycle. */
  async tick(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    for (;;) {
      const nowMs = clock.monotonicMs();
      const due = [...this.#dueMs].filter(([, atMs]) => atMs <= nowMs).map(([cycle]) => cycle);
      for (const cycleMs of due) {
        // no catching up: what was missed is past
        this.#dueMs.set(cycleMs, nowMs + cycleMs);
        try {
          await this.#sampleCycle(cycleMs);
        } catch (error) {
          signal.throwIfAborted();
          log.warning("Values to push not queued", { error: errorChain(error) });
        }
      }
      const nextMs = Math.min(...this.#dueMs.values());
      if (nextMs === Infinity) await this.#cyclesChanged.wait(signal);
      else {
        const waitMs = Math.max(nextMs - clock.monotonicMs(), 0);
        await waitAtMost(this.#cyclesChanged, clock, waitMs, signal);
      }
    }
  }

  async #read(item: FeedItem, signal: AbortSignal): Promise<void> {
    if (item.kind === "resync") return await this.#resync(signal);
    const { table } = this.#options;
    const batch: Taken[] = [];
    let redefined = false;
    for (const change of item.changes) {
      const { device } = change;
      if (change.kind === "removed") {
        table.forget(device);
        await this.#dropMarks(`${deviceText(device)}/`, () => false);
        redefined = true;
      } else if (change.kind === "added" || change.kind === "updated") {
        table.learn(device);
        for (const pushed of table.ofDevice(device)) this.#takeChanged(pushed, batch);
        redefined = true;
      } else if (change.kind === "reported") {
        const pushed = table.of(device, change.property);
        if (pushed) this.#takeChanged(pushed, batch);
      }
      if (batch.length >= BATCH_MAX) await this.#queue(batch.splice(0));
    }
    await this.#queue(batch);
    if (redefined) this.#routesChanged();
  }

  async #resync(signal: AbortSignal): Promise<void> {
    const { table, twins } = this.#options;
    const known = new Set<string>();
    let after: string | undefined;
    for (;;) {
      const range = { limit: SLICE_DEVICES, ...(after === undefined ? {} : { after }) };
      const slice = twins.list(range);
      const batch: Taken[] = [];
      for (const device of slice) {
        after = deviceText(device);
        if (!table.learn(device)) continue;
        known.add(after);
        for (const pushed of table.ofDevice(device)) this.#takeChanged(pushed, batch);
      }
      while (batch.length > 0) await this.#queue(batch.splice(0, BATCH_MAX));
      if (slice.length < SLICE_DEVICES) break;
      await nextTurn();
      signal.throwIfAborted();
    }
    table.retain((device) => known.has(device));
    const kept = new Set(Array.from(table.all(), markKey));
    await this.#dropMarks("", (key) => kept.has(key));
    this.#routesChanged();
  }

  #routesChanged(): void {
    const cycles = this.#options.table.cycles();
    const nowMs = this.#options.clock.monotonicMs();
    const due = new Map<number, number>();
    for (const cycleMs of cycles) due.set(cycleMs, this.#dueMs.get(cycleMs) ?? nowMs + cycleMs);
    this.#dueMs = due;
    this.#cyclesChanged.wake();
    this.#options.onRoutes();
  }

  async #sampleCycle(cycleMs: number): Promise<void> {
    const batch: Taken[] = [];
    for (const pushed of this.#options.table.all()) {
      if (pushed.cycleMs === cycleMs) this.#take(pushed, batch, true);
    }
    while (batch.length > 0) await this.#queue(batch.splice(0, BATCH_MAX));
  }

  #takeChanged(pushed: Pushed, batch: Taken[]): void {
    if (pushed.cycleMs === undefined) this.#take(pushed, batch, false);
  }

  /** Adds the property's latest value, unless it was sampled before. */
  #take(pushed: Pushed, batch: Taken[], again: boolean): void {
    const { twins, store, isMappers } = this.#options;
    const { device, property, uid, type, routes } = pushed;
    if (isMappers?.(pushed.protocol)) return;
    const reported = twins.twin(device, property)?.reported;
    if (!reported) return;
    const key = markKey(pushed);
    const stored = store.get<Mark>(PUSH_MARKS_BUCKET, key);
    const mark = stored?.uid === uid ? stored : undefined;
    const isNew = reported.version !== mark?.version;
    const heardMs = again && !isNew ? heardOf(twins, device) : undefined;
    if (!isNew && (heardMs === undefined || heardMs <= (mark?.atMs ?? 0))) return;
    if (isNew && mark && !again) this.coalesced += missed(mark.version, reported.version);
    const atMs = isNew ? reported.atMs : heardMs ?? reported.atMs;
    batch.push({
      sample: {
        namespace: device.namespace,
        device: device.name,
        property,
        value: reported.value,
        type,
        atMs,
      },
      routes,
      key,
      mark: { uid, version: reported.version, atMs },
    });
  }

  async #queue(batch: readonly Taken[]): Promise<void> {
    if (batch.length === 0) return;
    const samples = batch.flatMap(({ sample, routes }) =>
      routes.map(({ destination, detail }) => ({ destination, sample: { ...sample, detail } }))
    );
    const marks = batch.map(({ key, mark }): StoreOp => ({
      op: "put",
      bucket: PUSH_MARKS_BUCKET,
      key,
      value: mark,
    }));
    this.unplaced += await this.#options.queues.append(samples, marks);
  }

  async #dropMarks(prefix: string, isKept: (key: string) => boolean): Promise<void> {
    const { store } = this.#options;
    const gone = store.list(PUSH_MARKS_BUCKET, { prefix }).map(({ key }) => key)
      .filter((key) => !isKept(key));
    if (gone.length === 0) return;
    await store.commit(
      gone.map((key): StoreOp => ({ op: "delete", bucket: PUSH_MARKS_BUCKET, key })),
    );
  }
}

function markKey({ device, property }: Pushed): string {
  return `${deviceText(device)}/${property}`;
}

/** When the device last said something; undefined when it is not there. */
function heardOf(twins: PushTwins, device: PushDevice): number | undefined {
  return twins.get(device)?.lastSeenMs;
}

/** Versions between the two; none when versions began anew. */
function missed(before: number, now: number): number {
  return Math.max(0, now - before - 1);
}
