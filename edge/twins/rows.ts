/**
 * How twins and devices lie in the store. Short arrays, because a twin's row is written with every
 * change: `[desiredVersion, desired, reported, overruled?, passed?]`, where desired is
 * `[value, version, atMs, source, metadata?, intent?]` and reported
 * `[value, version, atMs, desiredVersion, metadata?]`, and 0 stands for none. Pure.
 */
import type { DeviceLife, DeviceName, DeviceState, Twin } from "./model.ts";
import { DEVICE_STATES } from "./model.ts";

/** `<namespace>/<name>/<property>` -> TwinRow. A changed layout is a new name. */
export const TWINS_BUCKET = "twins/v1";
/** `<namespace>/<name>` -> DeviceRow. */
export const DEVICES_BUCKET = "devices/v1";

type Metadata = Record<string, string>;
type DesiredRow = [string, number, number, 0 | 1, (Metadata | 0)?, string?];
type ReportedRow = [string, number, number, number, Metadata?];
export type TwinRow = [
  ...[number, DesiredRow | 0, ReportedRow | 0],
  ...[] | [string | null] | [string | null, readonly string[]],
];

/**
 * `[uid, digest, Device version, model version, state, stateAtMs, lastOnlineMs, model, cycleMs,
 * quiet, extra]`
 */
export type DeviceRow = [
  ...[string, string, string, string, number, number, number, string, number],
  ...string[][],
];

/** What is kept of a device, so that most commands need neither the Device nor its parse. */
export interface DeviceRecord {
  uid: string;
  digest: string;
  /** resourceVersions of what it was made from. */
  deviceVersion: string;
  modelVersion: string;
  life: DeviceLife;
  /** Name of the model; "" for none. */
  model: string;
  /** A report is due this often; 0 for never. */
  cycleMs: number;
  /** Properties the cloud is not told of; "" among them: nor of the state. */
  quiet: readonly string[];
  /** Properties that are not in the model: any text will do for them. */
  extra: readonly string[];
}

export function deviceKey({ namespace, name }: DeviceName): string {
  return `${namespace}/${name}`;
}

export function twinKey(device: string, property: string): string {
  return `${device}/${property}`;
}

export function encodeTwin(twin: Twin): TwinRow {
  const { desired, desiredVersion, reported, overruled, passed } = twin;
  const row: [number, DesiredRow | 0, ReportedRow | 0] = [desiredVersion, 0, 0];
  if (desired) {
    const { value, version, atMs, source, metadata, intent } = desired;
    row[1] = [value, version, atMs, source === "site" ? 1 : 0];
    if (metadata || intent !== undefined) row[1].push(metadata ?? 0);
    if (intent !== undefined) row[1].push(intent);
  }
  if (reported) {
    const { value, version, atMs, desiredVersion: under, metadata } = reported;
    row[2] = [value, version, atMs, under];
    if (metadata) row[2].push(metadata);
  }
  if (overruled === undefined) return row;
  return passed ? [...row, overruled, passed] : [...row, overruled];
}

export function decodeTwin(row: TwinRow): Twin {
  const [desiredVersion, desired, reported, overruled, passed] = row;
  return {
    desiredVersion,
    ...(desired ? { desired: decodeDesired(desired) } : {}),
    ...(reported ? { reported: decodeReported(reported) } : {}),
    ...(overruled === undefined ? {} : { overruled }),
    ...(passed ? { passed } : {}),
  };
}

function decodeDesired(
  [value, version, atMs, source, metadata, intent]: DesiredRow,
): NonNullable<Twin["desired"]> {
  return {
    value,
    version,
    atMs,
    source: source === 1 ? "site" : "cloud",
    ...(metadata ? { metadata } : {}),
    ...(intent === undefined ? {} : { intent }),
  };
}

function decodeReported(
  [value, version, atMs, desiredVersion, metadata]: ReportedRow,
): NonNullable<Twin["reported"]> {
  return { value, version, atMs, desiredVersion, ...(metadata ? { metadata } : {}) };
}

export function encodeDevice(record: DeviceRecord): DeviceRow {
  const { uid, digest, deviceVersion, modelVersion, life, model, cycleMs } = record;
  const { state, stateAtMs, lastOnlineMs = 0 } = life;
  const number = DEVICE_STATES.indexOf(state);
  const head: DeviceRow = [
    ...[uid, digest, deviceVersion, modelVersion] as const,
    ...[number, stateAtMs, lastOnlineMs, model, cycleMs] as const,
  ];
  if (record.quiet.length + record.extra.length > 0) {
    head.push([...record.quiet], [...record.extra]);
  }
  return head;
}

export function decodeDevice(row: DeviceRow): DeviceRecord {
  const [uid, digest, deviceVersion, modelVersion, number, stateAtMs, lastOnlineMs] = row;
  const state: DeviceState = DEVICE_STATES[number] ?? "unknown";
  return {
    uid,
    digest,
    deviceVersion,
    modelVersion,
    life: { state, stateAtMs, ...(lastOnlineMs > 0 ? { lastOnlineMs } : {}) },
    model: row[7],
    cycleMs: row[8],
    quiet: row[9] ?? NONE,
    extra: row[10] ?? NONE,
  };
}

const NONE: readonly string[] = [];
