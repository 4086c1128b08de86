/** How a sample is written for each kind of destination, as KubeEdge's mappers do it. Pure. */
import type { Sample } from "./port.ts";
import { AppError } from "../../shared/errors.ts";

/** `kubeedge`: the texts of its mapper framework; `json`: the whole sample, for http and mqtt. */
export type PayloadStyle = "kubeedge" | "json";

/** "2026-11-23 08:15:00", UTC. */
export function timeText(atMs: number, withMs = false): string {
  const text = new Date(atMs).toISOString().replace("T", " ");
  return text.slice(0, withMs ? 23 : 19);
}

/** The mapper framework's DataModel. */
export function sampleJson(sample: Sample): string {
  const { namespace, device, property, value, type, atMs } = sample;
  return JSON.stringify({
    deviceName: device,
    propertyName: property,
    namespace,
    value,
    type,
    timeStamp: atMs,
  });
}

/** `<property>=<value>&time=…`, and beside what KubeEdge sends, whose it is. */
export function formBody({ namespace, device, property, value, atMs }: Sample): string {
  const form = new URLSearchParams([[property, value], ["time", timeText(atMs)]]);
  form.append("namespace", namespace);
  form.append("device", device);
  return form.toString();
}

export function mqttText({ value, atMs, detail }: Sample): string {
  return `time is ${timeText(atMs)}  ${detail.path ?? ""}: ${value}`;
}

/** A line of InfluxDB's line protocol; stamps in milliseconds. */
export function influxLine(sample: Sample): string {
  const { value, type, atMs, detail } = sample;
  const tags = Object.entries(detail.tags ?? {}).sort(([a], [b]) => a < b ? -1 : 1)
    .map(([key, tag]) => [escapeKey(key), escapeKey(tag)])
    .filter(([key, tag]) => key !== "" && tag !== "")
    .map(([key, tag]) => `,${key}=${tag}`).join("");
  const measurement = escapeName(detail.measurement ?? "", /(\\*)([, \n\r])/g);
  const field = escapeKey(detail.field ?? "");
  return `${measurement}${tags} ${field}=${influxValue(value, type)} ${atMs}`;
}

function escapeKey(text: string): string {
  return escapeName(text, /(\\*)([,= \n\r])/g);
}

/**
 * A backslash is one there, but before what must be escaped: some then count them and some do not,
 * and with an odd number both agree. None can stand at the end, where it would take what divides
 * this name from the next. A line ends at its first line break, whatever stands before that.
 */
function escapeName(text: string, special: RegExp): string {
  return text.replace(/\\+$/, "").replace(
    special,
    (_, slashes: string, character: string) =>
      `${slashes}${slashes}\\${/[\n\r]/.test(character) ? " " : character}`,
  );
}

function influxValue(value: string, type: string): string {
  if (type === "INT" && /^[+-]?\d+$/.test(value)) return `${BigInt(value)}i`;
  const isNumber = (type === "FLOAT" || type === "DOUBLE") && value.trim() !== "";
  if (isNumber && Number.isFinite(Number(value))) return String(Number(value));
  if (type === "BOOLEAN" && /^(true|false)$/i.test(value)) return value.toLowerCase();
  return `"${value.replace(/["\\]/g, (character) => `\\${character}`)}"`;
}

/** A number, for those who take nothing else. */
export function numberOf({ value, type, property }: Sample): number {
  if (type === "BOOLEAN" && /^(true|false)$/i.test(value)) {
    return value.toLowerCase() === "true" ? 1 : 0;
  }
  const number = Number(value);
  if (value.trim() !== "" && Number.isFinite(number)) return number;
  throw new AppError("invalid", `property ${property} is no number`);
}
