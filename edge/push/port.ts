/**
 * What the data pipeline needs of other rooms, and what its parts agree on. A *route* is where a
 * property's values go; its *destination* is the part that is a server, with one queue and one
 * courier, whatever number of properties share it. A *sample* is one value on its way, and carries
 * all that is needed to deliver it: it outlives the device it came from.
 */
import type { DeviceName, Twins } from "../twins/port.ts";

/** Slots of destinations that are taken. */
export const PUSH_BUCKET = "push_destinations/v1";

/** Who tells the values. */
export type PushTwins = Pick<Twins, "subscribe" | "list" | "get" | "definition" | "twin">;

export const DESTINATION_KINDS = [
  "http",
  "mqtt",
  "otel",
  "influxdb2",
  "redis",
  "mysql",
  "tdengine",
] as const;
export type DestinationKind = (typeof DESTINATION_KINDS)[number];

/** A server, as the devices name it. */
export interface Destination {
  kind: DestinationKind;
  /** URL or HOST:PORT; with `kind` and `scope` it tells one destination from another. */
  address: string;
  /** What else belongs to the connection: organisation and bucket, database, user. */
  scope?: Readonly<Record<string, string>>;
}

/** What belongs to one property at a destination. */
export interface RouteDetail {
  /** Path of a request, or topic. */
  path?: string;
  timeoutMs?: number;
  qos?: 0 | 1 | 2;
  retain?: boolean;
  measurement?: string;
  field?: string;
  tags?: Readonly<Record<string, string>>;
}

export interface PushRoute {
  destination: Destination;
  detail: RouteDetail;
}

export interface Sample {
  namespace: string;
  device: string;
  property: string;
  value: string;
  /** Of the property, by the model: INT, DOUBLE, STRING ... */
  type: string;
  atMs: number;
  detail: RouteDetail;
}

/** What became of one sample. */
export type Delivery =
  | { kind: "done" }
  /** The destination will never take it. */
  | { kind: "refused"; reason: string }
  /** The destination is away, or busy, or does not know us: the same again later. */
  | { kind: "later"; reason: string };

export const DONE: Delivery = Object.freeze({ kind: "done" });

/** The connection to one destination. Opened by the first `send`, and again when it broke. */
export interface Sender {
  /** Samples `send` is given at once, at most. */
  readonly batchMax: number;
  /**
   * One delivery a sample, in their order. Never rejects but by `signal`. Where one of a device is
   * to come later, so are those of the device behind it.
   */
  send(samples: readonly Sample[], signal: AbortSignal): Promise<Delivery[]>;
  close(): Promise<void>;
}

/** Who we are to a destination. */
export interface Credentials {
  username?: string;
  password?: string;
  token?: string;
}

/** How a destination fares; for people. */
export interface DestinationStatus {
  kind: DestinationKind;
  address: string;
  state: "idle" | "delivering" | "waiting";
  /** Why it waits. */
  problem?: string;
  queued: number;
  queuedBytes: number;
  oldestAtMs?: number;
  delivered: number;
  /** By reason: `refused`, `expired`, `quota`, `lost`, `damaged`. */
  dropped: Readonly<Record<string, number>>;
}

export interface PushStatus {
  destinations: DestinationStatus[];
  /** Values that a later one replaced before they could be queued. */
  coalesced: number;
  /** Values of destinations beyond the number there may be. */
  unplaced: number;
}

/** A device by name. */
export type PushDevice = DeviceName;

/** A property that is pushed. */
export interface Pushed {
  device: PushDevice;
  uid: string;
  property: string;
  type: string;
  /** Of its device. */
  protocol: string;
  routes: readonly PushRoute[];
  /** Absent: at each change. */
  cycleMs?: number;
}

export function deviceText({ namespace, name }: PushDevice): string {
  return `${namespace}/${name}`;
}
