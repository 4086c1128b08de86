/**
 * A v1alpha2 Device into the stored v1beta1 and back. `desired` moves from status to spec. An
 * update at v1alpha2 keeps what that version cannot say: push methods, methods, reporting of the
 * state, and properties that have neither visitor nor desired value. Pure.
 */
import { deepEqual, isJsonObject, type JsonObject } from "../../json/json.ts";
import type { Device, DeviceProperty, DeviceSpec } from "../../k8s/devices.ts";
import { keptOf, withKept, withoutKept } from "./kept.ts";
import { protocolToAlpha, protocolToBeta, visitorToAlpha, visitorToBeta } from "./protocol.ts";
import { nodeOf, selectorOf, selectsByLabels } from "./selector.ts";
import {
  ALPHA_VERSION,
  type AlphaDevice,
  type AlphaDeviceSpec,
  type AlphaProtocol,
  type AlphaSelector,
  type AlphaTwin,
  type AlphaVisitor,
  BETA_VERSION,
} from "./shapes.ts";

/** What the annotation of a device may hold. */
interface Kept {
  nodeSelector?: AlphaSelector;
  protocol?: AlphaProtocol;
  /** By name of the property. */
  visitors?: Record<string, AlphaVisitor>;
  data?: JsonObject;
}

export function betaDevice(alpha: AlphaDevice, current?: Device): Device {
  const { spec, status, ...rest } = alpha;
  const kept = keep(spec);
  const stored: Device = {
    ...rest,
    apiVersion: BETA_VERSION,
    metadata: withKept(alpha.metadata, kept as JsonObject), // plain JSON by construction
    spec: betaSpec(spec, status?.twins ?? []),
  };
  return current ? carryOver(stored, current, spec) : stored;
}

export function alphaDevice(device: Device): AlphaDevice {
  const { spec, status, ...rest } = device;
  const kept = keptOf(device.metadata) as Kept; // checked part by part below
  const twins = alphaTwins(device);
  return {
    ...rest,
    apiVersion: ALPHA_VERSION,
    metadata: withoutKept(device.metadata),
    spec: alphaSpec(spec, kept),
    ...(twins.length > 0 || status ? { status: { twins } } : {}),
  };
}

/** The selector by which the cloud is to choose the node of this device, if it is to. */
export function labelSelectorOf(device: Device): AlphaSelector | undefined {
  const { nodeSelector } = keptOf(device.metadata) as Kept; // looked at on the next line
  if (!isJsonObject(nodeSelector) || !Array.isArray(nodeSelector.nodeSelectorTerms)) return;
  return selectsByLabels(nodeSelector) ? nodeSelector : undefined;
}

function betaSpec(spec: AlphaDeviceSpec, twins: readonly AlphaTwin[]): DeviceSpec {
  const nodeName = nodeOf(spec.nodeSelector);
  const protocol = protocolToBeta(spec.protocol);
  const properties = betaProperties(spec.propertyVisitors ?? [], twins);
  return {
    ...(spec.deviceModelRef ? { deviceModelRef: spec.deviceModelRef } : {}),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(properties.length > 0 ? { properties } : {}),
    ...(protocol ? { protocol } : {}),
  };
}

function betaProperties(
  visitors: readonly AlphaVisitor[],
  twins: readonly AlphaTwin[],
): DeviceProperty[] {
  const properties = visitors.map((visitor): DeviceProperty => ({
    name: visitor.propertyName,
    ...visitorToBeta(visitor),
  }));
  for (const { propertyName, desired } of twins) {
    if (!desired) continue;
    const at = properties.findIndex(({ name }) => name === propertyName);
    if (at < 0) properties.push({ name: propertyName, desired });
    else properties[at] = { ...properties[at]!, desired };
  }
  return properties;
}

/** The parts that would not come back as they are. */
function keep(spec: AlphaDeviceSpec): Kept {
  const { nodeSelector, protocol, propertyVisitors = [], data } = spec;
  const kept: Kept = {};
  const node = nodeOf(nodeSelector);
  if (nodeSelector && !deepEqual(node === undefined ? {} : selectorOf(node), nodeSelector)) {
    kept.nodeSelector = nodeSelector;
  }
  if (protocol && !deepEqual(protocolToAlpha(protocolToBeta(protocol)), protocol)) {
    kept.protocol = protocol;
  }
  for (const visitor of propertyVisitors) {
    const back = visitorToAlpha({ name: visitor.propertyName, ...visitorToBeta(visitor) });
    if (deepEqual(back, visitor)) continue;
    kept.visitors = { ...kept.visitors, [visitor.propertyName]: visitor };
  }
  if (data !== undefined) kept.data = data;
  return kept;
}

function alphaSpec(spec: DeviceSpec, kept: Kept): AlphaDeviceSpec {
  const nodeSelector = alphaSelector(spec, kept);
  const protocol = kept.protocol && deepEqual(protocolToBeta(kept.protocol), spec.protocol)
    ? kept.protocol
    : protocolToAlpha(spec.protocol);
  const visitors = (spec.properties ?? []).flatMap((property) => {
    const visitor = alphaVisitor(property, kept.visitors?.[property.name]);
    return visitor ? [visitor] : [];
  });
  return {
    ...(spec.deviceModelRef ? { deviceModelRef: spec.deviceModelRef } : {}),
    ...(nodeSelector ? { nodeSelector } : {}),
    ...(protocol ? { protocol } : {}),
    ...(visitors.length > 0 ? { propertyVisitors: visitors } : {}),
    ...(kept.data ? { data: kept.data } : {}),
  };
}

function alphaSelector({ nodeName }: DeviceSpec, kept: Kept): AlphaSelector | undefined {
  if (kept.nodeSelector) {
    // by labels: the node the cloud chose is its consequence, not a wish of its own
    if (selectsByLabels(kept.nodeSelector)) return kept.nodeSelector;
    if (nodeOf(kept.nodeSelector) === nodeName) return kept.nodeSelector;
  }
  return nodeName === undefined ? undefined : selectorOf(nodeName);
}

function alphaVisitor(
  property: DeviceProperty,
  kept: AlphaVisitor | undefined,
): AlphaVisitor | undefined {
  const { name, visitors, reportCycle, collectCycle } = property;
  const stored = {
    ...(visitors ? { visitors } : {}),
    ...(reportCycle === undefined ? {} : { reportCycle }),
    ...(collectCycle === undefined ? {} : { collectCycle }),
  };
  if (kept?.propertyName === name && deepEqual(visitorToBeta(kept), stored)) return kept;
  return visitorToAlpha(property);
}

/** Every property with a desired value, then what is reported besides. */
function alphaTwins({ spec, status }: Device): AlphaTwin[] {
  const reported = new Map((status?.twins ?? []).map((twin) => [twin.propertyName, twin.reported]));
  const twins: AlphaTwin[] = [];
  for (const { name, desired } of spec.properties ?? []) {
    const value = reported.get(name);
    reported.delete(name);
    if (!desired && !value) continue;
    const parts = { ...(desired ? { desired } : {}), ...(value ? { reported: value } : {}) };
    twins.push({ propertyName: name, ...parts });
  }
  for (const [propertyName, value] of reported) {
    if (value) twins.push({ propertyName, reported: value });
  }
  return twins;
}

function carryOver(next: Device, current: Device, alpha: AlphaDeviceSpec): Device {
  const before = new Map((current.spec.properties ?? []).map((one) => [one.name, one]));
  const properties = (next.spec.properties ?? []).map((property): DeviceProperty => {
    const { pushMethod, reportToCloud } = before.get(property.name) ?? {};
    return {
      ...property,
      ...(pushMethod === undefined ? {} : { pushMethod }),
      ...(reportToCloud === undefined ? {} : { reportToCloud }),
    };
  });
  const named = new Set(properties.map(({ name }) => name));
  for (const property of before.values()) {
    const isSeen = property.desired !== undefined || visitorToAlpha(property) !== undefined;
    if (!named.has(property.name) && !isSeen) properties.push(property);
  }
  const { methods, stateReport, nodeName } = current.spec;
  // the cloud chose the node of a selector by labels; it chooses anew when the selector changes
  const stays = selectsByLabels(alpha.nodeSelector) &&
    deepEqual(alpha.nodeSelector, labelSelectorOf(current));
  return {
    ...next,
    spec: {
      ...next.spec,
      ...(properties.length > 0 ? { properties } : {}),
      ...(methods ? { methods } : {}),
      ...(stateReport ? { stateReport } : {}),
      ...(stays && nodeName !== undefined ? { nodeName } : {}),
    },
  };
}
