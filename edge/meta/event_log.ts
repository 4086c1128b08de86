/**
 * Events of this node in Kubernetes' form, for local readers, and through the outbox for the cloud.
 * Repeats raise a count. Bounded by rows and age; the oldest go first.
 */
import { KeyedMutex } from "../../shared/async/keyed_mutex.ts";
import { Changes } from "../../shared/async/wakeup.ts";
import { type Clock, toTime } from "../../shared/clock.ts";
import type { Event } from "../../shared/k8s/types.ts";
import { nameSuffix, type Random } from "../../shared/random.ts";
import type { Store, StoreOp } from "../../shared/store/port.ts";
import { BUCKET } from "./buckets.ts";
import type { DurableOutbox } from "./outbox.ts";
import type { EventInput, EventLog, History } from "./port.ts";

/** Rows kept: a day of a busy node; about 1 MB. */
export const EVENTS_MAX = 1_000;
const EVENT_AGE_MS_MAX = 24 * 60 * 60 * 1000;
/** kubelet's window for counting repeats. */
const REPEAT_WINDOW_MS = 10 * 60 * 1000;
/** Kubernetes refuses longer messages. */
const MESSAGE_CHARS_MAX = 1024;
/** Rows dropped at most per recorded event: more than come in, so both bounds are met. */
const DROPS_PER_EVENT = 4;
const COMPONENT = "skerry-edge";

/** Says on an event by how much its stamps were put right, and when. */
const CORRECTED = "skerry.dev/time-corrected";

interface Row {
  same: string;
  /** Wall clock, as the rows carry it over restarts. */
  lastMs: number;
}

export interface EventLogOptions {
  store: Store;
  outbox: DurableOutbox;
  clock: Clock;
  random: Random;
  nodeName: string;
  history?: History;
}

export class DurableEventLog implements EventLog {
  readonly changes = new Changes();
  readonly #options: EventLogOptions;
  readonly #mutex = new KeyedMutex();
  /** Every stored row by key; the longest unseen first. */
  readonly #rows = new Map<string, Row>();
  /** Key of the latest row of each (object, reason, message). */
  readonly #latest = new Map<string, string>();
  /** Monotonic times of what this process recorded since the time was last known. */
  readonly #unsure = new Map<string, { firstMs?: number; lastMs: number }>();

  constructor(options: EventLogOptions) {
    this.#options = options;
    for (const event of this.list()) {
      this.#index(event, Date.parse(event.lastTimestamp ?? "") || 0);
    }
  }

  async record(input: EventInput): Promise<void> {
    const message = input.message.slice(0, MESSAGE_CHARS_MAX);
    const event = { ...input, message };
    await this.#mutex.run(sameness(event), () => this.#record(event));
    this.changes.notify();
  }

  /** Oldest first. */
  list(): Event[] {
    return this.#options.store.list<Event>(BUCKET.events).map((row) => row.value)
      .sort((a, b) => compareText(a.lastTimestamp ?? "", b.lastTimestamp ?? ""));
  }

  /**
   * The time is known now. Events recorded since it was last known, or since the start, get their
   * right stamps where the clock was wrong by `correctionMs`; a note on each says so.
   */
  async timeIsKnown(
    { originMs, correctionMs }: { originMs: number; correctionMs: number },
  ): Promise<void> {
    const unsure = [...this.#unsure];
    for (const [key, { firstMs, lastMs }] of correctionMs === 0 ? [] : unsure) {
      const event = this.#options.store.get<Event>(BUCKET.events, key);
      if (!event) continue;
      await this.#mutex.run(sameness(event), () =>
        this.#correct(key, {
          last: originMs + lastMs,
          ...(firstMs === undefined ? {} : { first: originMs + firstMs }),
          note: `by ${Math.round(correctionMs / 1_000)} s at ${
            toTime(this.#options.clock.nowMs())
          }`,
        }));
    }
    for (const [key] of unsure) this.#unsure.delete(key);
    if (correctionMs !== 0 && unsure.length > 0) this.changes.notify();
  }

  async #correct(
    key: string,
    { first, last, note }: { first?: number; last: number; note: string },
  ): Promise<void> {
    const stored = this.#options.store.get<Event>(BUCKET.events, key);
    if (!stored) return;
    const { metadata } = stored;
    const time = first === undefined ? undefined : toTime(first);
    const event: Event = {
      ...stored,
      metadata: {
        ...metadata,
        ...(time === undefined ? {} : { creationTimestamp: time }),
        annotations: { ...metadata.annotations, [CORRECTED]: note },
      },
      ...(time === undefined ? {} : { firstTimestamp: time }),
      lastTimestamp: toTime(last),
    };
    await this.#options.outbox.putWith("event", `event/${key}`, { kind: "event", event }, [
      { op: "put", bucket: BUCKET.events, key, value: event },
    ]);
    this.#index(event, last);
  }

  async #record(input: EventInput): Promise<void> {
    const nowMs = this.#options.clock.nowMs();
    const repeated = this.#repeated(sameness(input), nowMs);
    const event = repeated
      ? { ...repeated, count: (repeated.count ?? 1) + 1, lastTimestamp: toTime(nowMs) }
      : this.#newEvent(input, nowMs);
    // beside the commit: it never rejects
    if (!repeated) void this.#tell(input);
    const key = rowKey(event);
    const victims = this.#victims(key, nowMs);
    await this.#options.outbox.putWith("event", `event/${key}`, { kind: "event", event }, [
      { op: "put", bucket: BUCKET.events, key, value: event },
      ...victims.map((victim): StoreOp => ({ op: "delete", bucket: BUCKET.events, key: victim })),
    ]);
    for (const victim of victims) this.#forget(victim);
    this.#index(event, nowMs);
    const lastMs = this.#options.clock.monotonicMs();
    const before = this.#unsure.get(key);
    const firstMs = repeated ? before?.firstMs : lastMs;
    this.#unsure.set(key, { lastMs, ...(firstMs === undefined ? {} : { firstMs }) });
  }

  async #tell({ involvedObject, type, reason, message }: EventInput): Promise<void> {
    const { kind = "", namespace = "", name = "" } = involvedObject;
    const subject = [`${kind.toLowerCase()}s`, namespace, name].filter((part) => part !== "")
      .join("/");
    const detail = { type, message };
    await this.#options.history?.record({ kind: "event", subject, what: reason, detail });
  }

  #repeated(same: string, nowMs: number): Event | undefined {
    const key = this.#latest.get(same);
    const row = key === undefined ? undefined : this.#rows.get(key);
    if (key === undefined || !row || Math.abs(nowMs - row.lastMs) > REPEAT_WINDOW_MS) {
      return undefined;
    }
    return this.#options.store.get<Event>(BUCKET.events, key);
  }

  #index(event: Event, lastMs: number): void {
    const key = rowKey(event);
    const same = sameness(event);
    // taken out first, so that it goes to the end
    this.#rows.delete(key);
    this.#rows.set(key, { same, lastMs });
    this.#latest.set(same, key);
  }

  #forget(key: string): void {
    const same = this.#rows.get(key)?.same;
    this.#rows.delete(key);
    this.#unsure.delete(key);
    if (same !== undefined && this.#latest.get(same) === key) this.#latest.delete(same);
  }

  #victims(kept: string, nowMs: number): string[] {
    const victims: string[] = [];
    for (const [key, row] of this.#rows) {
      if (victims.length >= DROPS_PER_EVENT) break;
      if (key === kept) continue;
      const over = this.#rows.size - victims.length >= EVENTS_MAX;
      if (!over && nowMs - row.lastMs <= EVENT_AGE_MS_MAX) break;
      victims.push(key);
    }
    return victims;
  }

  #newEvent(input: EventInput, nowMs: number): Event {
    const { random, nodeName } = this.#options;
    const { involvedObject, type, reason, message } = input;
    const time = toTime(nowMs);
    // object name, stamp in hex: kubelet's form; the suffix tells two within a millisecond apart
    const stem = (involvedObject.name ?? nodeName).slice(0, 200);
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: {
        name: `${stem}.${nowMs.toString(16)}${nameSuffix(random)}`,
        namespace: involvedObject.namespace || "default",
        creationTimestamp: time,
      },
      involvedObject,
      reason,
      message,
      type,
      source: { component: COMPONENT, host: nodeName },
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
      reportingComponent: COMPONENT,
      reportingInstance: nodeName,
    };
  }
}

function rowKey(event: Event): string {
  return `${event.metadata.namespace ?? ""}/${event.metadata.name ?? ""}`;
}

function sameness(event: EventInput | Event): string {
  const { kind, namespace, name, uid, fieldPath } = event.involvedObject;
  return JSON.stringify([kind, namespace, name, uid, fieldPath, event.reason, event.message]);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
