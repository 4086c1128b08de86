/**
 * What mappers send, checked: a message may lack any part of itself, and every name and size comes
 * from outside. Pure. Errors are "invalid" and name the field as the .proto spells it.
 */
import { AppError } from "../../shared/errors.ts";
import type {
  MapperInfo,
  ReportDeviceStatesRequest,
  ReportDeviceStatusRequest,
  Twin as TwinMessage,
  TwinProperty,
} from "../../shared/gen/v1beta1/api_pb.ts";
import type { DeviceName, ReportedValue } from "../twins/port.ts";

/** As KubeEdge does where a mapper names none. */
const NAMESPACE_DEFAULT = "default";
/** Of Kubernetes. */
const NAME_CHARS_MAX = 253;
export const TWINS_PER_REPORT_MAX = 10_000;
/** Values of one property in one report. */
export const ROUNDS_MAX = 100;
const INFO_CHARS_MAX = 253;
/** The longest path `struct sockaddr_un` carries on Linux (108 bytes with the closing NUL). */
export const SOCKET_PATH_BYTES_MAX = 107;

/** Reports one after the other, each property at most once in each. */
export interface DeviceRounds {
  device: DeviceName;
  rounds: Record<string, ReportedValue>[];
}

export interface MapperRecord {
  name: string;
  version: string;
  apiVersion: string;
  protocol: string;
  address: string;
}

/** `deviceName` may hold both ("plant/pump"), which counts where `deviceNamespace` is empty. */
export function readDeviceName(name: string, namespace: string): DeviceName {
  if (name === "") throw invalid("deviceName", "must not be empty");
  const slash = namespace === "" ? name.indexOf("/") : -1;
  const device = slash < 0
    ? { namespace: namespace || NAMESPACE_DEFAULT, name }
    : { namespace: name.slice(0, slash), name: name.slice(slash + 1) };
  checkName("deviceName", device.name);
  checkName(slash < 0 ? "deviceNamespace" : "deviceName", device.namespace);
  return device;
}

function checkName(field: string, name: string): void {
  if (name !== "" && name.length <= NAME_CHARS_MAX && !/[/\0]/.test(name)) return;
  throw invalid(field, `must be a name of 1 to ${NAME_CHARS_MAX} characters, got ${shown(name)}`);
}

export function readReport(request: ReportDeviceStatusRequest): DeviceRounds {
  const device = readDeviceName(request.deviceName, request.deviceNamespace);
  const twins = request.reportedDevice?.twins;
  if (!twins) throw invalid("reportedDevice", "must be set");
  if (twins.length === 0) throw invalid("reportedDevice.twins", "must hold a twin, got none");
  if (twins.length > TWINS_PER_REPORT_MAX) {
    const limit = `must be <= ${TWINS_PER_REPORT_MAX} twins, got ${twins.length}`;
    throw invalid("reportedDevice.twins", limit);
  }
  return { device, rounds: toRounds(twins) };
}

function toRounds(twins: readonly TwinMessage[]): DeviceRounds["rounds"] {
  const rounds: DeviceRounds["rounds"] = [];
  const seen = new Map<string, number>();
  for (const [index, { propertyName, reported, observedDesired }] of twins.entries()) {
    const field = `reportedDevice.twins[${index}]`;
    if (propertyName === "") throw invalid(`${field}.propertyName`, "must not be empty");
    if (!reported) {
      // what a mapper believes to be desired is no news: desired has another writer
      if (observedDesired) continue;
      throw invalid(`${field}.reported`, `must be set (property ${shown(propertyName)})`);
    }
    const round = seen.get(propertyName) ?? 0;
    if (round >= ROUNDS_MAX) {
      const limit = `must be <= ${ROUNDS_MAX} values of property ${shown(propertyName)}`;
      throw invalid("reportedDevice.twins", limit);
    }
    seen.set(propertyName, round + 1);
    const values = rounds[round] ??= Object.create(null) as Record<string, ReportedValue>;
    values[propertyName] = toValue(reported);
  }
  return rounds;
}

/** KubeEdge's framework sends an empty stamp with every value: that is none. */
function toValue({ value, metadata }: TwinProperty): ReportedValue {
  const kept = { ...metadata };
  if (kept.timestamp === "") delete kept.timestamp;
  return Object.keys(kept).length === 0 ? { value } : { value, metadata: kept };
}

export function readState(
  request: ReportDeviceStatesRequest,
): { device: DeviceName; state: string } {
  const device = readDeviceName(request.deviceName, request.deviceNamespace);
  if (request.state === "") throw invalid("state", "must not be empty");
  // a word of KubeEdge's mapper framework, which its own API does not know
  const isOffline = request.state.toLowerCase() === "disconnected";
  return { device, state: isOffline ? "offline" : request.state };
}

export function readMapper(mapper: MapperInfo | undefined): MapperRecord {
  if (!mapper) throw invalid("mapper", "must be set");
  const { name, version, apiVersion, protocol } = mapper;
  for (
    const [field, text] of Object.entries({ name, version, api_version: apiVersion, protocol })
  ) {
    if (text.length <= INFO_CHARS_MAX) continue;
    const limit = `must be <= ${INFO_CHARS_MAX} characters, got ${text.length}`;
    throw invalid(`mapper.${field}`, limit);
  }
  if (protocol === "") throw invalid("mapper.protocol", "must not be empty");
  return { name, version, apiVersion, protocol, address: readAddress(mapper.address) };
}

function readAddress(bytes: Uint8Array): string {
  const field = "mapper.address";
  const longest = SOCKET_PATH_BYTES_MAX + "unix://".length;
  if (bytes.length > longest) {
    const limit = `must be a path of <= ${SOCKET_PATH_BYTES_MAX} bytes, got ${bytes.length}`;
    throw invalid(field, limit);
  }
  const text = new TextDecoder().decode(bytes);
  const path = text.replace(/^unix:(\/\/)?(?=\/)/, "");
  if (path.startsWith("/") && !path.includes("\0") && !path.endsWith("/")) return path;
  throw invalid(field, `must be the absolute path of a Unix socket, got ${shown(text)}`);
}

function invalid(field: string, limit: string): AppError {
  return new AppError("invalid", `Cannot read the request: ${field} ${limit}`, { field });
}

function shown(text: string): string {
  return JSON.stringify(text.length <= 60 ? text : `${text.slice(0, 60)}…`);
}
