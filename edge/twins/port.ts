/**
 * The twin engine as other rooms see it: MQTT, DMI, mappers and the local API give it commands,
 * read what is known, and follow what changes. A command is answered when what it changed is on
 * disk.
 *
 * Who follows must be idempotent: a feed begins with "resync" (read everything there is), says so
 * again when its reader was too slow, and between the two tells the latest per device, property
 * and kind of change. That is also how what was committed before a crash, and never published,
 * arrives.
 */
import type { Changes } from "../../shared/async/wakeup.ts";
import type { TwinStatus } from "../../shared/k8s/devices.ts";
import type { StoreOp } from "../../shared/store/port.ts";
import type { Staged } from "../meta/port.ts";
import type { DeviceDefinition } from "./definition.ts";
import type {
  DeviceLife,
  DeviceName,
  Rejection,
  RejectionRule,
  ReportedValue,
  Twin,
  TwinEvent,
} from "./model.ts";
import type { HistoryAnswer, HistoryAt, HistoryQuestion } from "./history.ts";

export type { DeviceDefinition, PropertyDefinition } from "./definition.ts";
export type {
  HistoryAnswer,
  HistoryAt,
  HistoryPoint,
  HistoryQuestion,
  StepPoint,
} from "./history.ts";
export type { Aggregate } from "./steps.ts";
export type {
  Desired,
  DeviceLife,
  DeviceName,
  DeviceState,
  PropertyRules,
  Rejection,
  RejectionRule,
  Reported,
  ReportedValue,
  Twin,
  TwinEvent,
} from "./model.ts";

export interface DeviceReport {
  twins: Readonly<Record<string, ReportedValue>>;
  /** When the device measured it, ms since 1970. */
  timestampMs?: number;
  /** Takes what can be taken; without it one bad property refuses them all. */
  partial?: boolean;
}

export interface SiteDesire {
  property: string;
  value: string;
  /** Id of the intent. */
  intent: string;
  /** The version of desired they saw; refused as stale when there is a later one. */
  version?: number;
}

/** Writes that belong into the commit of a command. */
export interface Beside {
  ops: readonly StoreOp[];
  /** Made when the command was accepted, in the turn it is committed in. */
  stage?: () => Staged;
}

export interface TwinOutcome {
  /** What changed; nothing, when all was so already. */
  events: readonly TwinEvent[];
  /** Of a partial report, what was not taken. */
  rejections: readonly Rejection[];
}

export interface DeviceSummary extends DeviceName {
  uid: string;
  /** Name of the model; "" for none. */
  model: string;
  life: DeviceLife;
  /** Wall clock of the last word of the device in this run of the program. */
  lastSeenMs?: number;
}

export interface TwinView extends Twin {
  property: string;
  type: string;
  readOnly: boolean;
  /** Desired that the device has not reported since it is desired. */
  pending: boolean;
}

/**
 * `added`, `removed`, `updated`: a device and its definition. `desired`: what a device is to do has
 * changed. `reported`, `state`: what it says.
 */
export type TwinChange =
  | { kind: "added" | "removed" | "updated"; device: DeviceName }
  | {
    kind: "desired" | "reported";
    device: DeviceName;
    property: string;
    before: Twin;
    after: Twin;
  }
  | { kind: "state"; device: DeviceName; before: DeviceLife; after: DeviceLife };

export type FeedItem =
  /** Read everything: what came before is not told. */
  | { kind: "resync" }
  | { kind: "changes"; changes: TwinChange[] };

export interface TwinFeed {
  /** What is new since the last call; waits for it. */
  next(signal: AbortSignal): Promise<FeedItem>;
  close(): void;
}

export interface FeedOptions {
  /** Only of this device. */
  device?: DeviceName;
  kinds?: readonly TwinChange["kind"][];
  /** Changes held for a slow reader, before it has to resync. */
  capacity?: number;
}

/** What the history of all devices holds, and may hold. */
export interface HistorySize {
  rows: number;
  bytes: number;
  rowsMax: number;
  bytesMax: number;
  /** Of operation, after which a change is dropped. */
  daysMax: number;
  /** By reason: `expired`, `quota`, `lost`, `damaged`. */
  dropped: Record<string, number>;
}

export interface TwinCounts {
  devices: number;
  /** Changes by kind since the program began. */
  changes: Record<TwinEvent["kind"], number>;
  /** Commands or properties of them that were refused, by rule. */
  rejections: Partial<Record<RejectionRule, number>>;
  /** Commands that wait. */
  waiting: number;
}

export interface Twins {
  /** Notified when devices come, go or are defined anew, and when a state or desired changes. */
  readonly changes: Changes;
  /**
   * Errors, with the rule in `facts.rule`: `not_found` (device, property), `invalid` (type, range,
   * read-only, size, timestamp, state), `stale`, `exhausted` (too many wait), and the store's.
   */
  report(device: DeviceName, report: DeviceReport): Promise<TwinOutcome>;
  reportState(device: DeviceName, state: string): Promise<TwinOutcome>;
  /** For intents: `beside` is in the same commit. Errors as above. */
  desireAtSite(device: DeviceName, desire: SiteDesire, beside: Beside): Promise<TwinOutcome>;
  /** In order of namespace and name, behind `after` ("<namespace>/<name>"). */
  list(range?: { after?: string; limit?: number; namespace?: string }): DeviceSummary[];
  get(device: DeviceName): DeviceSummary | undefined;
  /** Model and instance in one. */
  definition(device: DeviceName): DeviceDefinition | undefined;
  /** All properties of the definition, also those of which nothing is known. */
  twins(device: DeviceName): TwinView[];
  /** As the cloud is told: those of which something is known. */
  status(device: DeviceName): TwinStatus[];
  /** One of them; undefined when the device has no such property. */
  twin(device: DeviceName, property: string): TwinView | undefined;
  subscribe(options?: FeedOptions): TwinFeed;
  history(device: DeviceName, question: HistoryQuestion): Promise<HistoryAnswer>;
  at(device: DeviceName, timeMs: number): Promise<HistoryAt[]>;
  counts(): TwinCounts;
}

/** What the engine needs of the outbox. */
export interface TwinOutbox {
  stageMark(key: string): Staged;
  stageRemoval(key: string): Staged;
}
