/** Shapes of `devices.kubeedge.io/v1alpha2`, as far as conversion looks into them. */
import type { JsonObject } from "../../json/json.ts";
import type { TwinValue } from "../../k8s/devices.ts";
import type { KubeObject } from "../../k8s/types.ts";

export interface AlphaSelector {
  nodeSelectorTerms: {
    matchExpressions?: { key: string; operator: string; values?: string[] }[];
  }[];
}

/** One of opcua, modbus, bluetooth and customizedProtocol; `common` may stand beside it. */
export interface AlphaProtocol {
  opcua?: JsonObject;
  modbus?: JsonObject;
  bluetooth?: JsonObject;
  common?: JsonObject & { com?: JsonObject; tcp?: JsonObject };
  customizedProtocol?: { protocolName?: string; configData?: JsonObject };
}

export interface AlphaVisitor {
  propertyName: string;
  reportCycle?: number;
  collectCycle?: number;
  customizedValues?: JsonObject;
  opcua?: JsonObject;
  modbus?: JsonObject;
  bluetooth?: JsonObject;
  customizedProtocol?: { protocolName?: string; configData?: JsonObject };
}

export interface AlphaTwin {
  propertyName: string;
  desired?: TwinValue;
  reported?: TwinValue;
}

export interface AlphaDeviceSpec {
  deviceModelRef?: { name: string };
  nodeSelector?: AlphaSelector;
  protocol?: AlphaProtocol;
  propertyVisitors?: AlphaVisitor[];
  data?: JsonObject;
}

export interface AlphaDevice extends KubeObject {
  spec: AlphaDeviceSpec;
  status?: { twins?: AlphaTwin[] };
}

/** One member: int, string, double, float, boolean or bytes. */
export type AlphaType = Record<string, JsonObject>;

export interface AlphaModelProperty {
  name: string;
  description?: string;
  type?: AlphaType;
}

export interface AlphaModel extends KubeObject {
  spec: { protocol?: string; properties?: AlphaModelProperty[] };
}

export const ALPHA_VERSION = "devices.kubeedge.io/v1alpha2";
export const BETA_VERSION = "devices.kubeedge.io/v1beta1";
