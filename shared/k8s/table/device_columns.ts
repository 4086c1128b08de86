/** Columns of devices, models, their statuses and rules. Objects are in their stored form. */
import { toTime } from "../../clock.ts";
import { isJsonObject, type JsonObject } from "../../json/json.ts";
import { ageOf } from "../duration.ts";
import type { Device, DeviceModel } from "../devices.ts";
import type { KubeObject } from "../types.ts";
import type { Column } from "./columns.ts";

type Read = (object: KubeObject, nowMs: number) => string | number;

const NONE = "<none>";
const text = (name: string, cell: Read, priority: 0 | 1 = 0): Column => ({
  name,
  type: "string",
  priority,
  cell,
});
const count = (name: string, cell: Read, priority: 0 | 1 = 0): Column => ({
  name,
  type: "integer",
  priority,
  cell,
});

const NAME = text("Name", (object) => object.metadata.name ?? "");
const AGE = text("Age", (object, nowMs) => ageOf(object.metadata.creationTimestamp, nowMs));

// Shapes were checked before the objects were stored
const device = (object: KubeObject) => object as Device;
const model = (object: KubeObject) => object as DeviceModel;

/** "3m ago"; a time that is none is shown as it is. */
function lastOnline(object: KubeObject, nowMs: number): string {
  const time = device(object).status?.lastOnlineTime;
  if (!time) return NONE;
  return Number.isNaN(Date.parse(time)) ? time : `${ageOf(time, nowMs)} ago`;
}

/** When the newest of the reported values was taken, by the device's own stamps. */
function lastReported(object: KubeObject, nowMs: number): string {
  let newestMs = 0;
  for (const { reported } of device(object).status?.twins ?? []) {
    const ms = Number(reported?.metadata?.["timestamp"] ?? 0);
    if (ms > newestMs) newestMs = ms;
  }
  // 8.64e15: the last moment a date can name
  if (newestMs === 0 || newestMs > 8.64e15) return NONE;
  return `${ageOf(toTime(newestMs), nowMs)} ago`;
}

/** How many desired values the device has reported: "2/3". */
function synced(object: KubeObject): string {
  const { spec, status } = device(object);
  const reported = new Map(status?.twins?.map((twin) => [twin.propertyName, twin.reported?.value]));
  const wanted = (spec.properties ?? []).filter((property) => property.desired?.value);
  const met = wanted.filter(({ name, desired }) => reported.get(name) === desired?.value);
  return wanted.length === 0 ? NONE : `${met.length}/${wanted.length}`;
}

function partOf(object: KubeObject, key: string): JsonObject {
  const part = object[key];
  return isJsonObject(part) ? part : {};
}

function fieldsText(value: unknown): string {
  if (!isJsonObject(value)) return NONE;
  return Object.entries(value).map(([key, item]) => `${key}=${item}`).join(",") || NONE;
}

const STATE = text("State", (object) => device(object).status?.state || "unknown");
const LAST_ONLINE = text("Last Online", lastOnline);
const REPORTED = text("Reported", lastReported);
const TWINS = count("Twins", (object) => device(object).status?.twins?.length ?? 0);

export const DEVICE_COLUMNS: Readonly<Record<string, Column[]>> = {
  Device: [
    NAME,
    text("Model", (object) => device(object).spec.deviceModelRef?.name || NONE),
    text("Node", (object) => device(object).spec.nodeName || NONE),
    text("Protocol", (object) => device(object).spec.protocol?.protocolName || NONE),
    STATE,
    LAST_ONLINE,
    AGE,
    count("Properties", (object) => device(object).spec.properties?.length ?? 0, 1),
    text("Synced", synced, 1),
    text("Problem", problem, 1),
    { ...REPORTED, priority: 1 },
  ],
  DeviceStatus: [NAME, STATE, TWINS, LAST_ONLINE, REPORTED, AGE],
  DeviceModel: [
    NAME,
    text("Protocol", (object) => model(object).spec.protocol || NONE),
    count("Properties", (object) => model(object).spec.properties?.length ?? 0),
    AGE,
  ],
  Rule: [
    NAME,
    text("Source", (object) => String(partOf(object, "spec")["source"] ?? NONE)),
    text("Target", (object) => String(partOf(object, "spec")["target"] ?? NONE)),
    count("Succeeded", (object) => Number(partOf(object, "status")["successMessages"] ?? 0)),
    count("Failed", (object) => Number(partOf(object, "status")["failMessages"] ?? 0)),
    AGE,
    text("From", (object) => fieldsText(partOf(object, "spec")["sourceResource"]), 1),
    text("To", (object) => fieldsText(partOf(object, "spec")["targetResource"]), 1),
  ],
  RuleEndpoint: [
    NAME,
    text("Type", (object) => String(partOf(object, "spec")["ruleEndpointType"] ?? NONE)),
    text("Properties", (object) => fieldsText(partOf(object, "spec")["properties"])),
    AGE,
  ],
};

/** What the cloud has found wrong between the device and its model. */
function problem(object: KubeObject): string {
  const accepted = device(object).status?.conditions?.find(({ type }) => type === "Accepted");
  return accepted?.status === "False" ? accepted.reason ?? "Unknown" : NONE;
}
