/**
 * What configData says of a Modbus device and its properties, checked: the line it is on, and where
 * a value stands and how it is written there. Pure.
 */
import { REGISTERS } from "../../../../shared/devices/protocols.ts";
import type { DriverDevice, Point } from "../../port.ts";
import {
  badSetting,
  flagSetting,
  needWhole,
  numberSetting,
  textSetting,
  wholeSetting,
} from "../../settings.ts";

export type Register = typeof REGISTERS[number];

export type Line =
  | { kind: "tcp" | "rtu-over-tcp"; host: string; port: number }
  | {
    kind: "serial";
    path: string;
    baudRate: number;
    dataBits: number;
    parity: "none" | "even" | "odd";
    stopBits: number;
  };

export const ENCODINGS = [
  "bits",
  "uint16",
  "int16",
  "uint32",
  "int32",
  "uint64",
  "int64",
  "float32",
  "float64",
  "raw",
] as const;
export type Encoding = typeof ENCODINGS[number];

export interface Address {
  point: Point;
  register: Register;
  offset: number;
  /** Registers, or bits. */
  count: number;
  encoding: Encoding;
  scale: number;
  swapBytes: boolean;
  swapRegisters: boolean;
}

const PORT_DEFAULT = 502;
const PARITIES = ["none", "even", "odd"] as const;

export function lineOf({ protocol, config }: DriverDevice): Line {
  const all = { ...objectOf(config["com"]), ...objectOf(config["tcp"]), ...config };
  const path = textSetting(all["serialPort"]);
  const host = textSetting(all["ip"]) ?? textSetting(all["host"]);
  if (path !== undefined) {
    if (!path.startsWith("/")) throw badSetting("serialPort", "like /dev/ttyUSB0", path);
    const parity = textSetting(all["parity"])?.toLowerCase() ?? "none";
    const known = PARITIES.find((each) => each === parity);
    if (!known) throw badSetting("parity", "none, even or odd", parity);
    return {
      kind: "serial",
      path,
      baudRate: wholeSetting(all["baudRate"], [50, 4_000_000]) ?? 9_600,
      dataBits: wholeSetting(all["dataBits"], [5, 8]) ?? 8,
      parity: known,
      stopBits: wholeSetting(all["stopBits"], [1, 2]) ?? 1,
    };
  }
  if (host === undefined) throw badSetting("ip or serialPort", "where the device is", undefined);
  const port = all["port"] === undefined ? PORT_DEFAULT : needWhole(all, "port", [1, 65_535]);
  const mode = `${protocol} ${textSetting(all["mode"]) ?? ""}`.toLowerCase().replaceAll(
    /[-_]/g,
    "",
  );
  return { kind: mode.includes("rtu") ? "rtu-over-tcp" : "tcp", host, port };
}

export function lineKey(line: Line): string {
  return line.kind === "serial" ? line.path : `${line.kind} ${line.host} ${line.port}`;
}

export function unitOf({ config }: DriverDevice): number {
  const key = config["slaveID"] === undefined ? "unitID" : "slaveID";
  return config[key] === undefined ? 1 : needWhole(config, key, [0, 255]);
}

export function addressOf(point: Point): Address {
  const { config } = point;
  const wanted = textSetting(config["register"]) ?? "";
  const register = REGISTERS.find((each) => each.toLowerCase().startsWith(plain(wanted)));
  if (!register || wanted === "") {
    throw badSetting("register", `one of ${REGISTERS.join()}`, wanted);
  }
  const offset = needWhole(config, "offset", [0, 65_535]);
  const isBit = isBits(register);
  const encoding = isBit ? "bits" : encodingOf(point);
  const natural = encoding === "raw" ? 1 : Math.max(1, widthOf(encoding));
  const count = config["limit"] === undefined
    ? natural
    : needWhole(config, "limit", [1, isBit ? 2_000 : 125]);
  if (!isBit && encoding !== "raw" && count !== natural) {
    throw badSetting("limit", `${natural} for ${encoding}`, count);
  }
  if (offset + count > 65_536) throw badSetting("offset and limit", "<= 65536 together", offset);
  const scale = config["scale"] === undefined ? 1 : numberSetting(config["scale"]);
  if (scale === undefined || scale === 0) throw badSetting("scale", "a number", config["scale"]);
  return {
    point,
    register,
    offset,
    count,
    encoding,
    scale,
    swapBytes: flagSetting(config["isSwap"]),
    swapRegisters: flagSetting(config["isRegisterSwap"]),
  };
}

export function isBits(register: Register): boolean {
  return register === "CoilRegister" || register === "DiscreteInputRegister";
}

/** Registers of a number; 0 for what has no width of its own. */
function widthOf(encoding: Encoding): number {
  return encoding === "raw" || encoding === "bits" ? 0 : Number(/\d+/.exec(encoding)?.[0]) / 16;
}

/** By the number of registers, as KubeEdge has it; `encoding` says otherwise. */
function encodingOf(point: Point): Encoding {
  const { type, config } = point;
  const own = textSetting(config["encoding"]);
  if (own !== undefined) {
    const known = ENCODINGS.find((each) => each === own.toLowerCase());
    if (!known || known === "bits") throw badSetting("encoding", ENCODINGS.slice(1).join(), own);
    return known;
  }
  const limit = wholeSetting(config["limit"], [1, 125]);
  if (type === "FLOAT" || type === "DOUBLE") {
    const registers = limit ?? (type === "FLOAT" ? 2 : 4);
    if (registers === 4) return "float64";
    if (registers === 2) return "float32";
    return integer(point, registers);
  }
  if (type === "INT") return integer(point, limit ?? 1);
  return type === "BOOLEAN" && (limit ?? 1) === 1 ? "uint16" : "raw";
}

/** Unsigned as in KubeEdge, unless it is said or the model lets the value be negative. */
function integer(point: Point, registers: number): Encoding {
  const { config, minimum } = point;
  const signed = config["signed"] === undefined
    ? minimum !== undefined && Number(minimum) < 0
    : flagSetting(config["signed"]);
  const found = ENCODINGS.find((each) => each === `${signed ? "int" : "uint"}${registers * 16}`);
  if (found) return found;
  throw badSetting("limit", `1, 2 or 4 for ${point.type}`, registers);
}

function plain(register: string): string {
  return register.toLowerCase().replaceAll(/[-_ ]/g, "");
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
