/**
 * What a device is to the twin engine: its rules (from model and instance), its life, and per
 * property what is desired and what was reported. Desired has one writer, the cloud or the site by
 * ADR 0012; reported has one, the device. Versions rise by one with each change and order things;
 * stamps are for people.
 */
import type { PropertyType, TwinValue } from "../../shared/k8s/devices.ts";

export interface DeviceName {
  namespace: string;
  name: string;
}

export const DEVICE_STATES = ["online", "offline", "ok", "unknown", "unhealthy"] as const;
export type DeviceState = (typeof DEVICE_STATES)[number];

/** States a device can only be in while something is heard of it. */
export const ALIVE_STATES: readonly DeviceState[] = ["online", "ok", "unhealthy"];

/** What a value of a property must be; from the model. */
export interface PropertyRules {
  type: PropertyType;
  readOnly: boolean;
  minimum?: string;
  maximum?: string;
}

export type DesiredSource = "cloud" | "site";

export interface Desired extends TwinValue {
  version: number;
  atMs: number;
  source: DesiredSource;
  /** The site's edit that made it, until the cloud has decided. */
  intent?: string;
}

export interface Reported extends TwinValue {
  version: number;
  atMs: number;
  /** Version of desired that stood when it was reported: what tells an answer from old news. */
  desiredVersion: number;
}

export interface Twin {
  desired?: Desired;
  /** Rises also when desired is taken away. */
  desiredVersion: number;
  reported?: Reported;
  /** What the Device desires (null: nothing) while an edit of the site stands over it. */
  overruled?: string | null;
  /** What the site asked for in between: the cloud may be on its way there, which is no news. */
  passed?: readonly string[];
}

export const EMPTY_TWIN: Twin = Object.freeze({ desiredVersion: 0 });

export interface DeviceLife {
  state: DeviceState;
  stateAtMs: number;
  lastOnlineMs?: number;
}

/** Something that became so; it carries all of what it changed. */
export type TwinEvent =
  | { kind: "desired"; property: string; before: Twin; after: Twin }
  | { kind: "reported"; property: string; before: Twin; after: Twin }
  | { kind: "state"; before: DeviceLife; after: DeviceLife };

export interface ReportedValue extends TwinValue {
  /** The version of reported the sender knows; refused as stale when there is a later one. */
  version?: number;
}

export type TwinCommand =
  /** What a device says of itself. */
  | {
    kind: "report";
    twins: Readonly<Record<string, ReportedValue>>;
    /** When the device measured it, ms since 1970. */
    timestampMs?: number;
    /** Takes what can be taken; without it one bad property refuses them all. */
    partial?: boolean;
    /** It said itself, a moment ago, that it is offline: that counts more than values it sends. */
    saidOffline?: boolean;
  }
  /** What the cloud wants (null: nothing any more). */
  | { kind: "desire"; property: string; desired: TwinValue | null }
  /** What somebody at the site wants. */
  | {
    kind: "site_desire";
    property: string;
    value: string;
    intent: string;
    /** The version of desired they saw; refused as stale when there is a later one. */
    version?: number;
  }
  /** The cloud has decided on an edit of the site; `desired` is its word now. */
  | { kind: "settle"; property: string; intent: string; desired: TwinValue | null }
  | { kind: "state"; state: string }
  /** Nothing was heard of the device for too long. */
  | { kind: "expire"; state: "unknown" | "offline"; lastSeenMs: number };

export type RejectionRule =
  | "unknown_device"
  | "unknown_property"
  | "type"
  | "range"
  | "read_only"
  | "too_big"
  | "stale"
  | "timestamp"
  | "state"
  | "busy";

export interface Rejection {
  rule: RejectionRule;
  property?: string;
  /** One sentence. */
  reason: string;
}

/** Everything a decision looks at. */
export interface DeviceFacts {
  life: DeviceLife;
  rules(property: string): PropertyRules | undefined;
  twin(property: string): Twin;
}

export interface Decision {
  events: TwinEvent[];
  rejections: Rejection[];
}
