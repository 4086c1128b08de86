/**
 * From a property's `pushMethod`, as KubeEdge's Device has it, to routes. Pure. What cannot be used
 * (checked when the Device was written, but older ones may be stored) gives no route and says why.
 */
import { isJsonObject, type JsonObject } from "../../shared/json/json.ts";
import type { Destination, PushRoute, RouteDetail } from "./port.ts";

/** Times below this are taken as seconds: the field has no unit, and nobody means 5 ms. */
const SECONDS_BELOW = 1_000;
const TIMEOUT_MS_MAX = 60_000;

type Fields = JsonObject;
type Maker = (fields: Fields) => PushRoute | string;

const MAKERS: Readonly<Record<string, Maker>> = {
  http: httpRoute,
  mqtt: mqttRoute,
  otel: (fields) => route("otel", text(fields, "endpointURL")),
};
const DB_MAKERS: Readonly<Record<string, Maker>> = {
  influxdb2: influxRoute,
  redis: redisRoute,
  TDEngine: tdengineRoute,
  mysql: mysqlRoute,
};

export interface RoutesOfProperty {
  routes: PushRoute[];
  problems: string[];
}

export function routesOf(pushMethod: Readonly<Record<string, unknown>>): RoutesOfProperty {
  const found: RoutesOfProperty = { routes: [], problems: [] };
  const dbMethod = pushMethod["dbMethod"];
  collect(found, pushMethod, MAKERS, "");
  if (isJsonObject(dbMethod)) collect(found, dbMethod, DB_MAKERS, "dbMethod.");
  return found;
}

function collect(
  found: RoutesOfProperty,
  methods: Readonly<Record<string, unknown>>,
  makers: Readonly<Record<string, Maker>>,
  path: string,
): void {
  for (const [name, make] of Object.entries(makers)) {
    const fields = methods[name];
    if (!isJsonObject(fields)) continue;
    const made = make(fields);
    if (typeof made === "string") found.problems.push(`pushMethod.${path}${name}: ${made}`);
    else found.routes.push(made);
  }
}

/** Same for the same server. */
export function destinationKey({ kind, address, scope = {} }: Destination): string {
  return JSON.stringify([kind, address, ...Object.entries(scope).sort()]);
}

function route(
  kind: Destination["kind"],
  address: string,
  detail: RouteDetail = {},
  scope?: Record<string, string>,
): PushRoute | string {
  if (address === "") return "no address";
  if (kind !== "redis" && kind !== "mysql" && kind !== "tdengine" && !URL.canParse(address)) {
    return `"${address}" is no URL`;
  }
  return { destination: { kind, address, ...(scope ? { scope } : {}) }, detail };
}

function httpRoute(fields: Fields): PushRoute | string {
  const host = text(fields, "hostName");
  const port = number(fields, "port");
  const base = (host.includes("://") ? host : `http://${host}`).replace(/\/+$/, "");
  const requestPath = text(fields, "requestPath");
  const timeout = number(fields, "timeout");
  const timeoutMs = timeout < SECONDS_BELOW ? timeout * 1_000 : timeout;
  if (host === "") return "no hostName";
  return route("http", port > 0 ? `${base}:${port}` : base, {
    path: requestPath === "" || requestPath.startsWith("/") ? requestPath : `/${requestPath}`,
    ...(timeout > 0 ? { timeoutMs: Math.min(timeoutMs, TIMEOUT_MS_MAX) } : {}),
  });
}

function mqttRoute(fields: Fields): PushRoute | string {
  const address = text(fields, "address");
  const topic = text(fields, "topic");
  const qos = ([0, 1, 2] as const).find((each) => each === fields["qos"]) ?? 0;
  if (topic === "" || /[+#\0]/.test(topic)) return `"${topic}" is no topic to publish to`;
  return route("mqtt", address.includes("://") || address === "" ? address : `tcp://${address}`, {
    path: topic,
    qos,
    retain: fields["retained"] === true,
  });
}

function influxRoute(fields: Fields): PushRoute | string {
  const client = part(fields, "influxdb2ClientConfig");
  const data = part(fields, "influxdb2DataConfig");
  const tags = Object.entries(part(data, "tag")).map(([key, value]) => [key, String(value)]);
  return route("influxdb2", text(client, "url"), {
    measurement: text(data, "measurement"),
    field: text(data, "fieldKey"),
    tags: Object.fromEntries(tags),
  }, { org: text(client, "org"), bucket: text(client, "bucket") });
}

function redisRoute(fields: Fields): PushRoute | string {
  const client = part(fields, "redisClientConfig");
  const scope = { db: String(number(client, "db")) };
  return route("redis", withPort(text(client, "addr"), 6379), {}, scope);
}

function tdengineRoute(fields: Fields): PushRoute | string {
  const client = part(fields, "TDEngineClientConfig");
  const scope = { database: text(client, "dbName") };
  return route("tdengine", withPort(text(client, "addr"), 6041), {}, scope);
}

function mysqlRoute(fields: Fields): PushRoute | string {
  const client = part(fields, "mysqlClientConfig");
  const scope = { database: text(client, "database"), user: text(client, "userName") };
  return route("mysql", withPort(text(client, "addr"), 3306), {}, scope);
}

function withPort(address: string, port: number): string {
  return address === "" || /:\d+$/.test(address) ? address : `${address}:${port}`;
}

function part(fields: Fields, key: string): Fields {
  const value = fields[key];
  return isJsonObject(value) ? value : {};
}

function text(fields: Fields, key: string): string {
  const value = fields[key];
  return typeof value === "string" ? value.trim() : "";
}

function number(fields: Fields, key: string): number {
  const value = fields[key];
  return typeof value === "number" && Number.isInteger(value) && value > 0 ? value : 0;
}
