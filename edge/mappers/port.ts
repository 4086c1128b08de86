/**
 * The mapper SDK: what a protocol has to be, and what it is given. A protocol is one file that
 * exports `createDriver`; README.md holds a whole one. Everything around it is done here once, for
 * all protocols: cycles, deadlines, reconnecting, writing what is desired and reading it back,
 * device states.
 *
 * A driver never needs to be careful about time: whatever it is asked has a deadline, after which
 * `signal` aborts and its connection is closed. One device uses one connection, one call at a time.
 */
import type { Clock } from "../../shared/clock.ts";
import type { ObjectReference } from "../../shared/k8s/types.ts";
import type { PropertyType } from "../../shared/k8s/devices.ts";
import type { Random } from "../../shared/random.ts";

/** One property as a driver sees it. */
export interface Point {
  name: string;
  type: PropertyType;
  readOnly: boolean;
  minimum?: string;
  maximum?: string;
  unit?: string;
  /** How to reach it: `visitors.configData`, the model's under the instance's. */
  config: Readonly<Record<string, unknown>>;
}

export interface DriverDevice {
  namespace: string;
  name: string;
  /** As the manifest writes it: "modbus", "opcua". */
  protocol: string;
  /** `protocol.configData`, the model's under the instance's. */
  config: Readonly<Record<string, unknown>>;
  points: readonly Point[];
}

/** A value of the property's type as text, or why there is none. */
export type Reading = string | Error;

/** What becomes of a value that was written. */
export type WriteOutcome =
  /** Read it back; it should then be `expected`, which may be rounded to what the device holds. */
  | { kind: "verify"; expected: string }
  /** The device will say itself what became of it. */
  | { kind: "sent" }
  /** It cannot be read; what was written counts as the device's word. */
  | { kind: "done" };

export interface Connection {
  /**
   * Asked for properties that are due together. One that cannot be read is an Error in the answer,
   * one that has nothing to say is absent. Throws when the device cannot be reached: then the
   * connection is closed, and `open` is called again later. Absent where devices speak by
   * themselves.
   */
  read?(points: readonly Point[], signal: AbortSignal): Promise<ReadonlyMap<string, Reading>>;
  /**
   * An AppError "unavailable" says that the device cannot be reached; any other, that this value
   * or property cannot be written.
   */
  write(point: Point, value: string, signal: AbortSignal): Promise<WriteOutcome>;
  /** Called once, at the beginning; `say` may be called at any time until `close`. */
  listen?(say: (property: string, reading: Reading) => void): void;
  /** Aborts when the connection is lost by itself; the reason says why. */
  readonly lost?: AbortSignal;
  close(): Promise<void>;
}

export interface Driver {
  /** Throws AppError "invalid" for a configuration that can never work. */
  open(device: DriverDevice, signal: AbortSignal): Promise<Connection>;
}

/** Messages by topic, on whichever brokers this node has. */
export interface MessageBus {
  /** What is aborted, or not taken in time, is withdrawn unless it was sent. */
  publish(message: { topic: string; payload: Uint8Array }, signal?: AbortSignal): Promise<void>;
  /** Returns what ends it. */
  subscribe(
    filter: string,
    take: (message: { topic: string; payload: Uint8Array }) => Promise<void>,
    options?: { wantsRetained?: boolean },
  ): () => void;
}

/** Where troubles of devices are told to people; it joins repeats. */
export interface DeviceEventLog {
  record(event: {
    involvedObject: ObjectReference;
    type: "Normal" | "Warning";
    reason: string;
    message: string;
  }): Promise<void>;
}

/** What drivers may use. */
export interface DriverHost {
  clock: Clock;
  random: Random;
  /** Absent on a node without a broker. */
  bus?: MessageBus;
  /** A folder for what a protocol has to keep, in one of its own below; absent in tests. */
  dataDir?: string;
  /** What devices may know this node by. */
  nodeName?: string;
}

export type CreateDriver = (host: DriverHost) => Driver;

/** What people are told of a device that is mapped here. */
export interface MappedStatus {
  namespace: string;
  name: string;
  protocol: string;
  state: "connecting" | "online" | "unhealthy" | "offline";
  /** Why it is not online; "" when it is. */
  reason: string;
  /** Properties in trouble, and why. */
  problems: Readonly<Record<string, string>>;
}

export interface MapperCounts {
  devices: number;
  connections: number;
  /** Calls of drivers since the program began. */
  reads: number;
  writes: number;
  /** Cycles that were due while the device's last one still ran. */
  skipped: number;
  /** Times a device could not be reached, or was lost. */
  failures: number;
  /** How late cycles began, ms: the mean, and the latest of all. */
  lateMsMean: number;
  lateMsMax: number;
}

export interface Mappers {
  status(): MappedStatus[];
  /** Undefined for a device that is not mapped here. */
  statusOf(device: { namespace: string; name: string }): MappedStatus | undefined;
  counts(): MapperCounts;
}
