/** Where a property's values are pushed to, besides the cloud. Pure. */
import { isJsonObject, type JsonObject } from "../json/json.ts";
import type { Problems } from "./problem.ts";

/** Field paths below pushMethod that must not be empty when their parent is there. */
const REQUIRED: readonly string[] = [
  "http.hostName",
  "mqtt.address",
  "mqtt.topic",
  "otel.endpointURL",
  "dbMethod.influxdb2.influxdb2ClientConfig.url",
  "dbMethod.influxdb2.influxdb2ClientConfig.bucket",
  "dbMethod.influxdb2.influxdb2DataConfig.measurement",
  "dbMethod.influxdb2.influxdb2DataConfig.fieldKey",
  "dbMethod.redis.redisClientConfig.addr",
  "dbMethod.TDEngine.TDEngineClientConfig.addr",
  "dbMethod.TDEngine.TDEngineClientConfig.dbName",
  "dbMethod.mysql.mysqlClientConfig.addr",
  "dbMethod.mysql.mysqlClientConfig.database",
];
const WHOLE: readonly [path: string, min: number, max: number][] = [
  ["http.port", 0, 65_535], // 0 or absent: the scheme's own
  ["http.timeout", 0, 86_400_000],
  ["mqtt.qos", 0, 2],
  ["dbMethod.redis.redisClientConfig.db", 0, 65_535],
  ["dbMethod.redis.redisClientConfig.poolsize", 0, 65_535],
  ["dbMethod.redis.redisClientConfig.minIdleConns", 0, 65_535],
];
const URLS: readonly string[] = [
  "otel.endpointURL",
  "dbMethod.influxdb2.influxdb2ClientConfig.url",
];

export function checkPush(problems: Problems, path: string, push: JsonObject): void {
  problems.advise(() => checkWhole(problems, path, push));
  for (const [field, min, max] of WHOLE) {
    const value = at(push, field.split("."));
    if (value !== undefined) problems.whole(`${path}.${field}`, value, [min, max]);
  }
  for (const field of URLS) {
    const value = at(push, field.split("."));
    if (typeof value !== "string" || value === "" || URL.canParse(value)) continue;
    problems.invalid(`${path}.${field}`, value, "must be a URL");
  }
}

/** What lacks a part is pushed nowhere, and the device is none the worse for it. */
function checkWhole(problems: Problems, path: string, push: JsonObject): void {
  for (const field of REQUIRED) {
    const parent = at(push, field.split(".").slice(0, -1));
    const top = at(push, field.split(".").slice(0, field.startsWith("dbMethod") ? 2 : 1));
    if (top === undefined) continue;
    if (!isJsonObject(parent) || !at(parent, field.split(".").slice(-1))) {
      problems.required(`${path}.${field}`, "nothing is pushed without it");
    }
  }
}

function at(value: unknown, keys: readonly string[]): unknown {
  return keys.reduce((found, key) => isJsonObject(found) ? found[key] : undefined, value);
}
