/**
 * What holds for a device once its model is taken into account: what stands on the instance wins
 * over what the model says, key by key in the configurations. Pure.
 */
import type { JsonObject } from "../json/json.ts";
import type {
  DeviceModelSpec,
  DeviceProperty,
  DeviceSpec,
  ModelProperty,
  VisitorConfig,
} from "../k8s/devices.ts";

export interface EffectiveProtocol {
  protocolName: string;
  configData: JsonObject;
}

export function effectiveProtocol(
  { protocol }: DeviceSpec,
  model: DeviceModelSpec | undefined,
): EffectiveProtocol {
  const protocolName = protocol?.protocolName || model?.protocol || "";
  return { protocolName, configData: { ...model?.protocolConfigData, ...protocol?.configData } };
}

/** Undefined when neither the instance nor the model says how to reach the property. */
export function effectiveVisitor(
  property: DeviceProperty | undefined,
  ofModel: ModelProperty | undefined,
  protocolName: string,
): Required<VisitorConfig> | undefined {
  if (!property?.visitors && !ofModel?.visitors) return undefined;
  const name = property?.visitors?.protocolName || ofModel?.visitors?.protocolName;
  return {
    protocolName: name || protocolName,
    configData: { ...ofModel?.visitors?.configData, ...property?.visitors?.configData },
  };
}

/** A desired value that says something: "" is none, except where text can be written. */
export function desiredValue(
  property: DeviceProperty,
  ofModel: ModelProperty | undefined,
): string | undefined {
  const value = property.desired?.value;
  if (value !== "") return value;
  const isText = ofModel?.type === "STRING" && ofModel.accessMode !== "ReadOnly";
  return isText ? value : undefined;
}
