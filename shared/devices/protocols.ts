/**
 * What is known of the configuration of the classic protocols. Only what stands there is checked
 * here: a part may come from the model instead, and keys of a mapper's own are always allowed. What
 * must be there in the end is `missing*`, asked when the model is known. Pure.
 */
import { isJsonObject, type JsonObject } from "../json/json.ts";
import type { DeviceSpec, VisitorConfig } from "../k8s/devices.ts";
import { plainText, type Problems } from "./problem.ts";

export const REGISTERS = [
  "CoilRegister",
  "DiscreteInputRegister",
  "InputRegister",
  "HoldingRegister",
] as const;
export const BAUD_RATES =
  "115200 57600 38400 19200 9600 4800 2400 1800 1200 600 300 200 150 134 110 75 50".split(" ");

type Check = (problems: Problems, path: string, config: JsonObject) => void;

// Maps, because the names asked for come from manifests: "constructor" is no protocol.
const PROTOCOLS = table<Check>({
  modbus: (problems, path, config) => {
    // 255 addresses a gateway itself over TCP; a serial line ends at 247
    const serial = config["serialPort"] !== undefined;
    whole(problems, path, config, { slaveID: [0, serial ? 247 : 255] });
    checkLine(problems, path, config);
  },
  opcua: (problems, path, config) => {
    const url = config["url"];
    if (url !== undefined && !(typeof url === "string" && /^opc\.(tcp|wss?):\/\/[^/]+/.test(url))) {
      problems.invalid(`${path}.url`, url, "must be like opc.tcp://host:4840");
    }
    const mode = config["securityMode"];
    if (mode !== undefined && mode !== "") {
      const known = ["None", "Sign", "SignAndEncrypt"];
      if (!known.some((one) => one.toLowerCase() === plainText(mode).toLowerCase())) {
        problems.oneOf(`${path}.securityMode`, mode, known);
      }
    }
    whole(problems, path, config, { timeout: [0, 2 ** 31] });
  },
  bluetooth: (problems, path, config) => {
    const mac = config["macAddress"];
    if (mac === undefined || /^([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}$/.test(plainText(mac))) return;
    problems.invalid(`${path}.macAddress`, mac, "must be like A4:C1:38:1A:49:90");
  },
});

const VISITORS = table<Check>({
  modbus: (problems, path, config) => {
    const register = config["register"];
    if (register !== undefined) problems.oneOf(`${path}.register`, register, REGISTERS);
    const isBit = register === "CoilRegister" || register === "DiscreteInputRegister";
    // what one request of the protocol can carry
    whole(problems, path, config, { offset: [0, 65_535], limit: [1, isBit ? 2_000 : 125] });
    const scale = config["scale"];
    if (
      scale !== undefined && (plainText(scale) === "" || !Number.isFinite(Number(plainText(scale))))
    ) {
      problems.invalid(`${path}.scale`, scale, "must be a number");
    }
    flags(problems, path, config, ["isSwap", "isRegisterSwap"]);
  },
  opcua: (problems, path, config) => {
    const node = config["nodeID"];
    if (node === undefined || (typeof node === "string" && node !== "")) return;
    problems.invalid(`${path}.nodeID`, node, "must be like ns=2;s=Temperature");
  },
  bluetooth: (problems, path, config) => {
    const uuid = config["characteristicUUID"];
    if (uuid !== undefined && (typeof uuid !== "string" || uuid === "")) {
      problems.invalid(`${path}.characteristicUUID`, uuid, "must be the UUID of a characteristic");
    }
  },
});

/** Of a device, or of what its model says in its place. */
export function checkProtocol(
  problems: Problems,
  path: string,
  { protocolName, configData }: NonNullable<DeviceSpec["protocol"]>,
  dataKey = ".configData",
): void {
  if (configData === undefined) return;
  const at = `${path}${dataKey}`;
  if (!isJsonObject(configData)) return problems.invalid(at, configData, "must be an object");
  PROTOCOLS.get(protocolName ?? "")?.(problems, at, configData);
}

export function checkVisitor(
  problems: Problems,
  path: string,
  { protocolName, configData }: VisitorConfig,
): void {
  if (configData === undefined) return;
  const at = `${path}.configData`;
  if (!isJsonObject(configData)) return problems.invalid(at, configData, "must be an object");
  VISITORS.get(protocolName ?? "")?.(problems, at, configData);
}

/** Keys without which no mapper can reach the device. */
const NEEDED = table<readonly string[]>({
  opcua: ["url"],
  bluetooth: ["macAddress"],
});
const NEEDED_VISITOR = table<readonly string[]>({
  modbus: ["register", "offset"],
  opcua: ["nodeID"],
  bluetooth: ["characteristicUUID"],
});

export function missingInProtocol(name: string, config: JsonObject | undefined): string[] {
  return (NEEDED.get(name) ?? []).filter((key) => isMissing(config?.[key]));
}

export function missingInVisitor(name: string, config: JsonObject | undefined): string[] {
  return (NEEDED_VISITOR.get(name) ?? []).filter((key) => isMissing(config?.[key]));
}

function table<T>(entries: Record<string, T>): ReadonlyMap<string, T> {
  return new Map(Object.entries(entries));
}

function isMissing(value: unknown): boolean {
  return value === undefined || value === "";
}

function checkLine(problems: Problems, path: string, config: JsonObject): void {
  whole(problems, path, config, { port: [1, 65_535], dataBits: [5, 8], stopBits: [1, 2] });
  const { ip, baudRate, parity } = config;
  if (ip !== undefined && (typeof ip !== "string" || ip.trim() === "" || /\s/.test(ip))) {
    problems.invalid(`${path}.ip`, ip, "must be an address or a host name");
  }
  if (baudRate !== undefined) problems.oneOf(`${path}.baudRate`, baudRate, BAUD_RATES);
  if (parity !== undefined && parity !== "") {
    problems.oneOf(`${path}.parity`, plainText(parity).toLowerCase(), ["none", "even", "odd"]);
  }
}

function whole(
  problems: Problems,
  path: string,
  config: JsonObject,
  rules: Readonly<Record<string, readonly [number, number]>>,
): void {
  for (const [key, bounds] of Object.entries(rules)) {
    if (config[key] !== undefined) problems.whole(`${path}.${key}`, config[key], bounds);
  }
}

function flags(
  problems: Problems,
  path: string,
  config: JsonObject,
  keys: readonly string[],
): void {
  for (const key of keys) {
    if (config[key] === undefined || typeof config[key] === "boolean") continue;
    if (config[key] === "true" || config[key] === "false") continue;
    problems.invalid(`${path}.${key}`, config[key], "must be true or false");
  }
}
