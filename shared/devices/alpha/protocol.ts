/**
 * Protocol and visitor configurations between the unions of v1alpha2 and name + configData. What
 * `common` says of the line stands flat in configData, where mappers of v1beta1 look for it. Pure.
 */
import { deepEqual, isJsonObject, type JsonObject } from "../../json/json.ts";
import type { DeviceProperty, DeviceSpec, VisitorConfig } from "../../k8s/devices.ts";
import type { AlphaProtocol, AlphaVisitor } from "./shapes.ts";

type Protocol = NonNullable<DeviceSpec["protocol"]>;

const MEMBERS = ["opcua", "modbus", "bluetooth"] as const;
const COM_KEYS = ["serialPort", "baudRate", "dataBits", "parity", "stopBits"];
const TCP_KEYS = ["ip", "port"];
const COMMON_KEYS = [
  "commType",
  "reconnTimeout",
  "reconnRetryTimes",
  "collectTimeout",
  "collectRetryTimes",
  "collectType",
  "customizedValues",
];
const OPCUA_KEYS = [
  "url",
  "userName",
  "password",
  "securityPolicy",
  "securityMode",
  "certificate",
  "privateKey",
  "timeout",
];
const MEMBER_KEYS: Record<(typeof MEMBERS)[number], readonly string[]> = {
  opcua: OPCUA_KEYS,
  modbus: ["slaveID"],
  bluetooth: ["macAddress"],
};

export function protocolToBeta(alpha: AlphaProtocol | undefined): Protocol | undefined {
  if (!alpha) return undefined;
  const member = MEMBERS.find((name) => alpha[name] !== undefined);
  const custom = alpha.customizedProtocol;
  const protocolName = member ?? custom?.protocolName;
  const own = member ? alpha[member] : custom?.configData;
  const { com, tcp, ...common } = alpha.common ?? {};
  const configData = { ...common, ...com, ...tcp, ...own };
  const isEmpty = Object.keys(configData).length === 0 && own === undefined;
  return { ...(protocolName ? { protocolName } : {}), ...(isEmpty ? {} : { configData }) };
}

export function protocolToAlpha(beta: Protocol | undefined): AlphaProtocol | undefined {
  if (!beta) return undefined;
  const { protocolName = "", configData = {} } = beta;
  const member = MEMBERS.find((name) => name === protocolName);
  if (member && isJsonObject(configData)) {
    const com = pick(configData, COM_KEYS);
    const tcp = pick(configData, TCP_KEYS);
    const common = {
      ...(com ? { com } : {}),
      ...(tcp ? { tcp } : {}),
      ...pick(configData, COMMON_KEYS),
    };
    const alpha: AlphaProtocol = {
      [member]: pick(configData, MEMBER_KEYS[member]) ?? {},
      ...(Object.keys(common).length > 0 ? { common } : {}),
    };
    if (deepEqual(protocolToBeta(alpha), beta)) return alpha;
  }
  return { customizedProtocol: custom(beta) };
}

type VisitorPart = Pick<DeviceProperty, "visitors" | "reportCycle" | "collectCycle">;

export function visitorToBeta(alpha: AlphaVisitor): VisitorPart {
  const { reportCycle, collectCycle, customizedValues } = alpha;
  const member = MEMBERS.find((name) => alpha[name] !== undefined);
  const own = member ? alpha[member] : alpha.customizedProtocol?.configData;
  const protocolName = member ?? alpha.customizedProtocol?.protocolName;
  const config = { ...own, ...(customizedValues ? { customizedValues } : {}) };
  const hasConfig = own !== undefined || customizedValues !== undefined;
  const visitors: VisitorConfig = {
    ...(protocolName ? { protocolName } : {}),
    ...(hasConfig ? { configData: config } : {}),
  };
  return {
    ...(Object.keys(visitors).length > 0 ? { visitors } : {}),
    ...(reportCycle === undefined ? {} : { reportCycle }),
    ...(collectCycle === undefined ? {} : { collectCycle }),
  };
}

const VISITOR_KEYS: Record<(typeof MEMBERS)[number], readonly string[]> = {
  opcua: ["nodeID", "browseName"],
  modbus: ["register", "offset", "limit", "scale", "isSwap", "isRegisterSwap"],
  bluetooth: ["characteristicUUID", "dataWrite", "dataConverter"],
};

/** Undefined for a property that says nothing a visitor could say. */
export function visitorToAlpha(property: DeviceProperty): AlphaVisitor | undefined {
  const { name, visitors, reportCycle, collectCycle } = property;
  const part: VisitorPart = {
    ...(visitors ? { visitors } : {}),
    ...(reportCycle === undefined ? {} : { reportCycle }),
    ...(collectCycle === undefined ? {} : { collectCycle }),
  };
  if (Object.keys(part).length === 0) return undefined;
  const { visitors: _, ...cycles } = part;
  const head = { propertyName: name, ...cycles };
  if (!visitors) return head;
  const member = MEMBERS.find((one) => one === visitors.protocolName);
  const config = isJsonObject(visitors.configData) ? visitors.configData : {};
  const values = config["customizedValues"];
  if (member) {
    const alpha: AlphaVisitor = {
      ...head,
      [member]: pick(config, VISITOR_KEYS[member]) ?? {},
      ...(isJsonObject(values) ? { customizedValues: values } : {}),
    };
    if (deepEqual(visitorToBeta(alpha), part)) return alpha;
  }
  return { ...head, customizedProtocol: custom(visitors) };
}

function custom({ protocolName, configData }: VisitorConfig) {
  return {
    ...(protocolName === undefined ? {} : { protocolName }),
    ...(configData === undefined ? {} : { configData }),
  };
}

function pick(config: JsonObject, keys: readonly string[]): JsonObject | undefined {
  const found = keys.filter((key) => config[key] !== undefined);
  if (found.length === 0) return undefined;
  return Object.fromEntries(found.map((key) => [key, config[key]]));
}
