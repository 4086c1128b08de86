/**
 * A device as mappers and readers see it: model and instance in one, the instance's word over the
 * model's. Pure. Its digest tells whether a mapper has anything to do: what is desired, and what
 * people write in metadata, are not in it.
 */
import {
  desiredValue,
  effectiveProtocol,
  effectiveVisitor,
} from "../../shared/devices/effective.ts";
import { canonicalJson } from "../../shared/json/json.ts";
import type {
  Device,
  DeviceMethod,
  DeviceModel,
  DeviceProperty,
  ModelProperty,
  PropertyType,
  TwinValue,
  VisitorConfig,
} from "../../shared/k8s/devices.ts";
import { PROPERTY_TYPES } from "../../shared/k8s/devices.ts";
import type { DeviceName, PropertyRules } from "./model.ts";
import { isPropertyName } from "./values.ts";

export interface PropertyDefinition {
  name: string;
  description?: string;
  type: PropertyType;
  readOnly: boolean;
  minimum?: string;
  maximum?: string;
  unit?: string;
  /** In the instance's list: what mappers collect. */
  listed: boolean;
  visitors?: VisitorConfig;
  collectCycleMs?: number;
  reportCycleMs?: number;
  /** Only where the Device says no, the cloud is not told. */
  toCloud: boolean;
  pushMethod?: Record<string, unknown>;
  /** As the Device says; what counts now is in the twin. */
  desired?: TwinValue;
}

export interface DeviceDefinition extends DeviceName {
  uid: string;
  labels: Readonly<Record<string, string>>;
  model?: string;
  /** Name "" where neither says one. */
  protocol: { name: string; configData: Record<string, unknown> };
  properties: PropertyDefinition[];
  methods: DeviceMethod[];
  /** Shortest time in which a report is due, ms; undefined when none is. */
  cycleMs?: number;
  stateToCloud: boolean;
}

export const DEVICE_PROPERTIES_MAX = 1_000;

export function defineDevice(device: Device, model: DeviceModel | undefined): DeviceDefinition {
  const { metadata, spec = {} } = device;
  const { namespace = "", name = "", uid = "", labels = {} } = metadata;
  const properties = defineProperties(device, model);
  const cycles = [
    ...properties.map((property) => property.reportCycleMs),
    spec.stateReport?.reportCycle,
    device.status?.reportCycle,
  ].filter((ms): ms is number => typeof ms === "number" && ms > 0);
  const { protocolName, configData } = effectiveProtocol(spec, model?.spec);
  return {
    namespace,
    name,
    uid,
    labels,
    ...(spec.deviceModelRef?.name ? { model: spec.deviceModelRef.name } : {}),
    protocol: { name: protocolName, configData },
    properties,
    methods: spec.methods ?? [],
    ...(cycles.length > 0 ? { cycleMs: Math.min(...cycles) } : {}),
    stateToCloud: (spec.stateReport?.reportToCloud ?? device.status?.reportToCloud) !== false,
  };
}

function defineProperties(device: Device, model: DeviceModel | undefined): PropertyDefinition[] {
  const { protocolName } = effectiveProtocol(device.spec ?? {}, model?.spec);
  const listed = new Map<string, DeviceProperty>();
  for (const property of device.spec?.properties ?? []) {
    if (isPropertyName(property.name)) listed.set(property.name, property);
  }
  const defined = new Map<string, PropertyDefinition>();
  for (const property of model?.spec?.properties ?? []) {
    if (!isPropertyName(property.name)) continue;
    defined.set(property.name, defineProperty(property, listed.get(property.name), protocolName));
  }
  // one the model does not know, or whose model is not here: any text will do
  for (const [name, property] of listed) {
    if (!defined.has(name)) defined.set(name, defineProperty({ name }, property, protocolName));
  }
  return [...defined.values()].slice(0, DEVICE_PROPERTIES_MAX);
}

function defineProperty(
  model: ModelProperty,
  own: DeviceProperty | undefined,
  protocolName: string,
): PropertyDefinition {
  const visitors = effectiveVisitor(own, model, protocolName);
  const desired = own && desiredValue(own, model);
  const { description, unit } = model;
  return {
    name: model.name,
    ...rulesOf(model),
    ...(description ? { description } : {}),
    ...(unit ? { unit } : {}),
    listed: own !== undefined,
    ...(visitors === undefined ? {} : { visitors }),
    ...(own?.collectCycle ? { collectCycleMs: own.collectCycle } : {}),
    ...(own?.reportCycle ? { reportCycleMs: own.reportCycle } : {}),
    toCloud: own?.reportToCloud !== false,
    ...(own?.pushMethod ? { pushMethod: own.pushMethod } : {}),
    ...(own?.desired && desired !== undefined ? { desired: own.desired } : {}),
  };
}

export function rulesOf({ type, accessMode, minimum, maximum }: ModelProperty): PropertyRules {
  const known = PROPERTY_TYPES.find((each) => each === String(type ?? "").toUpperCase());
  return {
    type: known ?? "STRING",
    readOnly: accessMode === "ReadOnly",
    ...(minimum ? { minimum } : {}),
    ...(maximum ? { maximum } : {}),
  };
}

/** Equal for definitions of which a mapper would build the same. */
export function definitionDigest(defined: DeviceDefinition): string {
  const properties = defined.properties.map(({ desired: _, ...property }) => property);
  return fnv64(canonicalJson({ ...defined, properties, labels: {} }));
}

/** FNV-1a over UTF-16 units in two lanes: tells versions of one definition apart, no more. */
function fnv64(text: string): string {
  let a = 0x811c9dc5;
  let b = 0x01000193;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul(b ^ unit, 0x5bd1e995) ^ (b >>> 15);
  }
  return ((a >>> 0).toString(16).padStart(8, "0")) + (b >>> 0).toString(16).padStart(8, "0");
}
