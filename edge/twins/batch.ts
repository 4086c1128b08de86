/**
 * What the commands of one device that are carried out together make: the facts as they change on
 * the way, and in the end the writes of one commit (rows, history, the mark in the outbox). Nothing
 * of it counts before that commit is on disk. Synchronous from beginning to end.
 */
import type { StoreOp } from "../../shared/store/port.ts";
import type { Staged } from "../meta/port.ts";
import { Evolved } from "./evolve.ts";
import { type HistoryRow, streamOf, toHistoryRow } from "./history_rows.ts";
import type { DeviceFacts, Twin, TwinEvent } from "./model.ts";
import type { TwinChange, TwinOutbox } from "./port.ts";
import type { DeviceEntry, Registry } from "./registry.ts";
import {
  type DeviceRecord,
  DEVICES_BUCKET,
  encodeDevice,
  encodeTwin,
  twinKey,
  TWINS_BUCKET,
} from "./rows.ts";

/** Key of a device's report in the outbox. */
export function outboxKey(device: string): string {
  return `device/${device}`;
}

export class Batch {
  readonly entry: DeviceEntry;
  readonly facts: Evolved;
  readonly events: TwinEvent[] = [];
  /** A definition that is new with this batch. */
  record: DeviceRecord | undefined;
  removed = false;
  /** Of the device as such, before those of its events. */
  readonly changes: TwinChange[] = [];
  readonly #ops: StoreOp[] = [];
  readonly #staged: Staged[] = [];
  readonly #history: HistoryRow[] = [];
  readonly #atMs: number;
  #marks = false;

  constructor(entry: DeviceEntry, registry: Registry, atMs: number) {
    this.entry = entry;
    this.#atMs = atMs;
    const record = () => this.record ?? entry.record;
    const base: DeviceFacts = {
      life: entry.record?.life ?? { state: "unknown", stateAtMs: atMs },
      rules: (property) => {
        const known = record();
        return known && registry.rules(entry, known, property);
      },
      twin: (property) => registry.twin(entry, property),
    };
    this.facts = new Evolved(base);
  }

  apply(events: readonly TwinEvent[]): void {
    const quiet = (this.record ?? this.entry.record)?.quiet ?? [];
    for (const event of events) {
      this.facts.apply(event);
      this.events.push(event);
      const row = toHistoryRow(event);
      if (row) this.#history.push(row);
      if (!quiet.includes(event.kind === "state" ? "" : event.property)) this.#marks = true;
    }
  }

  /** A better stamp: written, and told to the cloud, but no change. */
  correct(property: string, twin: Twin): void {
    this.facts.put(property, twin);
    this.#marks = true;
  }

  /** The cloud is to be told, whatever else happens. */
  mark(): void {
    this.#marks = true;
  }

  note(row: HistoryRow): void {
    this.#history.push(row);
  }

  add(ops: readonly StoreOp[], staged?: Staged): void {
    this.#ops.push(...ops);
    if (!staged) return;
    this.#ops.push(...staged.ops);
    this.#staged.push(staged);
  }

  /** The writes of the batch; nothing when nothing changed. */
  seal(outbox: TwinOutbox, withHistory: boolean): StoreOp[] {
    const { key } = this.entry;
    if (this.removed) this.add([], outbox.stageRemoval(outboxKey(key)));
    else {
      for (const [property, twin] of this.facts.changedTwins) {
        const value = encodeTwin(twin);
        this.#ops.push({ op: "put", bucket: TWINS_BUCKET, key: twinKey(key, property), value });
      }
      const record = this.newRecord();
      if (record) {
        this.#ops.push({ op: "put", bucket: DEVICES_BUCKET, key, value: encodeDevice(record) });
      }
      if (this.#marks) this.add([], outbox.stageMark(outboxKey(key)));
    }
    if (withHistory && this.#history.length > 0) {
      const value = this.#history;
      this.#ops.push({ op: "append", stream: streamOf(key), key, value, atMs: this.#atMs });
    }
    return this.#ops;
  }

  /** There is a past to be written, where history is. */
  get hasHistory(): boolean {
    return this.#history.length > 0;
  }

  /** What is known of the device behind this batch, where that changed. */
  newRecord(): DeviceRecord | undefined {
    const base = this.record ?? this.entry.record;
    const life = this.facts.changedLife;
    if (!base || (!life && !this.record)) return undefined;
    return { ...base, life: life ?? base.life };
  }

  done(ok: boolean): void {
    for (const staged of this.#staged) staged.done(ok);
  }

  published(): TwinChange[] {
    const { namespace, name } = this.entry;
    const device = { namespace, name };
    return [
      ...this.changes,
      ...this.events.flatMap((event): TwinChange[] => {
        if (event.kind !== "desired") return [{ ...event, device }];
        // an edit of the site that became the cloud's own: the same value, nothing to do
        const same = event.before.desiredVersion === event.after.desiredVersion;
        return same ? [] : [{ ...event, device }];
      }),
    ];
  }
}
