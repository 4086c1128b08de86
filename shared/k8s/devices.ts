/**
 * Shapes of `devices.kubeedge.io/v1beta1` (Device, DeviceModel, DeviceStatus) as both sides hold
 * them. Other versions are converted to these where they come in. Values of properties are texts on
 * every wire, whatever the model's type: a double keeps all its digits that way.
 */
import type { Condition, KubeObject } from "./types.ts";

export const PROPERTY_TYPES = [
  "INT",
  "FLOAT",
  "DOUBLE",
  "STRING",
  "BOOLEAN",
  "BYTES",
  "STREAM",
] as const;
export type PropertyType = (typeof PROPERTY_TYPES)[number];

/** A value of a property, 64 KiB at most. */
export interface TwinValue {
  value: string;
  metadata?: Record<string, string>;
}

/** What a mapper must know to reach one property; the shape of `configData` is the protocol's. */
export interface VisitorConfig {
  protocolName?: string;
  configData?: Record<string, unknown>;
}

export interface DeviceProperty {
  name: string;
  desired?: TwinValue;
  visitors?: VisitorConfig;
  /** ms. */
  reportCycle?: number;
  /** ms. */
  collectCycle?: number;
  reportToCloud?: boolean;
  pushMethod?: Record<string, unknown>;
}

export interface DeviceMethod {
  name: string;
  description?: string;
  propertyNames?: string[];
}

export interface DeviceSpec {
  deviceModelRef?: { name: string };
  nodeName?: string;
  protocol?: { protocolName?: string; configData?: Record<string, unknown> };
  properties?: DeviceProperty[];
  methods?: DeviceMethod[];
  stateReport?: { reportToCloud?: boolean; reportCycle?: number };
}

export interface TwinStatus {
  propertyName: string;
  reported?: TwinValue;
  observedDesired?: TwinValue;
}

/** Status of a DeviceStatus object, and what a node reports of a device. */
export interface DeviceStatusBody {
  twins?: TwinStatus[];
  /** online, offline, ok, unknown or unhealthy. */
  state?: string;
  /** RFC 3339. */
  lastOnlineTime?: string;
  extensions?: Record<string, unknown>;
}

export interface Device extends KubeObject {
  spec: DeviceSpec;
  status?: DeviceStatusBody & {
    reportToCloud?: boolean;
    reportCycle?: number;
    /** What the cloud has found; nodes never write it. */
    conditions?: Condition[];
  };
}

export interface ModelProperty {
  name: string;
  description?: string;
  type?: PropertyType;
  accessMode?: "ReadWrite" | "ReadOnly";
  minimum?: string;
  maximum?: string;
  unit?: string;
  visitors?: VisitorConfig;
}

export interface DeviceModelSpec {
  properties?: ModelProperty[];
  protocol?: string;
  protocolConfigData?: Record<string, unknown>;
}

export interface DeviceModel extends KubeObject {
  spec: DeviceModelSpec;
}

export interface DeviceStatus extends KubeObject {
  status?: DeviceStatusBody;
}
