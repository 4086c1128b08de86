/**
 * The doors to the edge's durable memory. *Ledger*: desired state as accepted from the cloud.
 * *Outbox*: reports the cloud has not acknowledged. *Pod records* and *events*: what this node says
 * of itself, kept for local readers and sent through the outbox. Every method that returns a
 * promise resolves only when the write is on disk.
 */
import type { Changes } from "../../shared/async/wakeup.ts";
import type { Event, KubeObject, ObjectReference, Pod, PodStatus } from "../../shared/k8s/types.ts";
import type { DesiredBatch, InventoryEntry } from "../../shared/wire/desired.ts";
import type { StoreOp } from "../../shared/store/port.ts";
import type { PodRef, Report } from "../../shared/wire/report.ts";

export type { PodRef };

/** What `judge` says of an offered batch. */
export type Verdict =
  | { kind: "commit" }
  /** The same generation with the same digest is already held: acknowledge it again. */
  | { kind: "unchanged" }
  /** `stale`: older than held. `conflict`: same generation, other content, or the digest after
   * applying it is not the one announced. The cloud must ask for the inventory and plan anew. */
  | { kind: "reject"; reason: "stale" | "conflict" };

export interface LedgerHead {
  /** "" before the first batch. */
  cloudId: string;
  generation: number;
  digest: string;
}

export interface Ledger {
  readonly head: LedgerHead;
  /** Notified after each durable change. */
  readonly changes: Changes;
  get<T extends KubeObject>(key: string): T | undefined;
  /** Objects of one qualified resource ("pods"), in key order. */
  list<T extends KubeObject>(resource: string): T[];
  inventory(): InventoryEntry[];
  /** Judges and, on `commit`, applies the batch in one durable commit before resolving. */
  accept(batch: DesiredBatch): Promise<Verdict>;
}

/**
 * Drained in this order when the link is back. In `control` and `status` the latest per key counts;
 * `event` and `telemetry` are appended, and every record is sent, expires, or is dropped and
 * counted.
 */
export type OutboxLane = "control" | "status" | "event" | "telemetry";

/** Lanes whose records are appended and may be dropped. */
export type BulkLaneName = "event" | "telemetry";

export interface OutboxRecord {
  key: string;
  report: Report;
}

export interface OutboxItem {
  /** Rises with every put; the cloud acknowledges by it. */
  sequence: number;
  lane: OutboxLane;
  key: string;
  /** Made when it is looked at, for some. */
  readonly report: Report;
  /** CBOR of the report, where it is at hand. */
  readonly body?: Uint8Array<ArrayBuffer>;
}

/** Writes for a commit of the caller's; `done` says how it went, once, whatever happens. */
export interface Staged {
  ops: readonly StoreOp[];
  done: (ok: boolean) => void;
}

/** Makes reports of which only "there is news" is kept; both answer at once. */
export interface ReportMaker {
  has(key: string): boolean;
  make(key: string): Report | undefined;
}

export interface OutboxStats {
  depth: number;
  /** Stamp of the oldest waiting item, ms since 1970; undefined when empty. */
  oldestAtMs: number | undefined;
  /** By lane and reason: `event_quota`, `telemetry_expired` ... `lost` is with a damaged file. */
  dropped: Record<string, number>;
  lanes: Record<OutboxLane, number>;
}

export interface Outbox {
  readonly changes: Changes;
  /** Adds a report; an unacknowledged one with the same key is replaced (latest wins). */
  put(lane: OutboxLane, key: string, report: Report): Promise<number>;
  /** Adds records to a lane that keeps them all, in one durable commit (at most 4 096). */
  append(lane: BulkLaneName, records: readonly OutboxRecord[]): Promise<void>;
  /**
   * Waiting items with a sequence above `afterSequence`, oldest first within lane order. Of the
   * lanes that may be long only as much as their share of what may be in flight, at their pace;
   * `changes` tells when there is more. Those that `skip` names are passed over: what is in
   * flight. It is one function for a session, and names an item until that is acknowledged.
   */
  pending(
    afterSequence: number,
    limit: number,
    skip?: (sequence: number) => boolean,
  ): OutboxItem[];
  /** So many reports may be in flight from now on; the lanes share them. */
  grant(itemsMax: number): void;
  /** Forgets items by sequence; one that was replaced meanwhile has a newer sequence and stays. */
  acknowledge(sequences: readonly number[]): Promise<void>;
  /**
   * True while a report of this key in `control` or `status` is on its way to the disk or not
   * acknowledged.
   */
  holds(key: string): boolean;
  stats(): OutboxStats;
}

export interface PodRecord {
  pod: PodRef;
  status: PodStatus;
}

export interface PodRecords {
  readonly changes: Changes;
  get(uid: string): PodRecord | undefined;
  list(): PodRecord[];
  /**
   * Keeps the status and puts its report into the outbox, in one commit. `mirror` is what shows a
   * static pod in the cloud, which does not know it otherwise.
   */
  recordStatus(pod: PodRef, status: PodStatus, mirror?: Pod): Promise<void>;
  /** Drops the status and reports that the pod has ended, in one commit. */
  recordGone(pod: PodRef): Promise<void>;
}

export interface EventInput {
  involvedObject: ObjectReference;
  type: "Normal" | "Warning";
  /** CamelCase, as kubelet writes it: "Pulled", "FailedCreatePodSandBox". */
  reason: string;
  message: string;
}

export interface EventLog {
  readonly changes: Changes;
  /** Same object, reason and message within the window raise `count` instead of adding a row. */
  record(event: EventInput): Promise<void>;
  list(): Event[];
}

export type HistoryKind = "pod_status" | "pod_gone" | "event" | "link" | "twin";

export interface HistoryEntry {
  kind: HistoryKind;
  /** What it happened to: "pods/default/web", "devices/default/t1", "cloud". */
  subject: string;
  /** One word or two: a phase, a reason, a state. */
  what: string;
  detail?: Record<string, unknown>;
}

export interface HistoryRow extends HistoryEntry {
  /** Rises; `after` of the next page. */
  id: number;
  /** Wall clock; put right where it was wrong and that was found out. */
  atMs: number;
  /** What the clock said then, where that was wrong. */
  recordedAtMs?: number;
}

export interface HistoryPage {
  rows: HistoryRow[];
  /** `after` of the next page; absent when there is nothing more to look at. */
  next?: number;
}

export interface HistoryQuery {
  /** From this stamp on. */
  fromMs?: number;
  /** Before this stamp. */
  toMs?: number;
  kind?: HistoryKind;
  subject?: string;
  after?: number;
  /** At most 1 000. */
  limit?: number;
}

export interface HistoryStats {
  rows: number;
  bytes: number;
  /**
   * By reason: `expired`, `quota`, `lost`, `damaged`; since the start also `refused` (not written,
   * disk full) and `spared` (not written, budget of disk writes used up).
   */
  dropped: Record<string, number>;
}

export interface History {
  /** Resolves when it is on disk or counted as refused; never rejects. */
  record(entry: HistoryEntry): Promise<void>;
  /** Oldest first; may hold less than asked for, and say where to go on. */
  query(query: HistoryQuery): HistoryPage;
  stats(): HistoryStats;
}
