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
  const tags = Object.entries(detail.tags ?? {}).filter(([key, tag]) => key !== "" && tag !== "")
    .sort(([a], [b]) => a < b ? -1 : 1)
    .map(([key, tag]) => `,${escapeKey(key)}=${escapeKey(tag)}`).join("");
  const measurement = (detail.measurement ?? "").replace(/[\\, \n\r]/g, escaped);
  const field = escapeKey(detail.field ?? "");
  return `${measurement}${tags} ${field}=${influxValue(value, type)} ${atMs}`;
}

function escapeKey(text: string): string {
  return text.replace(/[\\,= \n\r]/g, escaped);
}

function escaped(character: string): string {
  // a line ends at its first line break, whatever stands before that
  return character === "\n" || character === "\r" ? "\\ " : `\\${character}`;
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

/** OTLP/HTTP in JSON: one gauge a property, with the device as its attributes. */
export function otlpMetrics(samples: readonly Sample[], version: string): string {
  const metrics = Map.groupBy(samples, (sample) => sample.property);
  const attribute = (key: string, stringValue: string) => ({ key, value: { stringValue } });
  return JSON.stringify({
    resourceMetrics: [{
      resource: { attributes: [attribute("service.name", "skerry-edge")] },
      scopeMetrics: [{
        scope: { name: "skerry.dev/devices", version },
        metrics: Array.from(metrics, ([name, points]) => ({
          name,
          gauge: {
            dataPoints: points.map((sample) => ({
              attributes: [
                attribute("namespace", sample.namespace),
                attribute("device", sample.device),
              ],
              timeUnixNano: `${BigInt(Math.round(sample.atMs)) * 1_000_000n}`,
              asDouble: numberOf(sample),
            })),
          },
        })),
      }],
    }],
  });
}
