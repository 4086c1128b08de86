/**
 * Methods of a device. In KubeEdge's devices a method names the properties that a call of it
 * writes; so a call is an edit of the site for each property it is given: durable, merged by the
 * cloud, and brought to the device by whatever mapper it has. All names are looked at before
 * anything is written.
 */
import type { Context, Hono } from "hono";
import { AppError } from "../../../shared/errors.ts";
import type { DeviceMethod } from "../../../shared/k8s/devices.ts";
import type { Intent, Intents } from "../../intents/port.ts";
import type { DeviceName, Twins } from "../../twins/port.ts";
import { askedBy } from "../site/acts.ts";
import { readBody, toValue } from "./requests.ts";

/** As many as one report may have. */
const PROPERTIES_MAX = 1_000;

export interface MethodSources {
  devices: () => Twins | undefined;
  intents: Intents;
}

/** As it is answered. */
export interface MethodItem {
  name: string;
  description?: string;
  properties: { property: string; type: string; accessMode: string }[];
}

export function addMethods(app: Hono, { devices, intents }: MethodSources): void {
  app.get("/v1/devices/:namespace/:name/methods", (c) => {
    const device = nameOf(c);
    const { twins, methods } = find(devices(), device);
    return c.json({ items: methods.map((method) => toItem(twins, device, method)) });
  });
  app.post("/v1/devices/:namespace/:name/methods/:method", async (c) => {
    const device = nameOf(c);
    const { properties } = await readBody(c.req.raw);
    const { twins, methods } = find(devices(), device);
    const method = methodOf(methods, device, c.req.param("method"));
    const values = toValues(method, properties);
    for (const property of values.keys()) checkWritable(twins, device, property);
    const by = askedBy(c);
    const items: Intent[] = [];
    for (const [property, value] of values) {
      items.push(await intents.setTwin({ ...device, property, value, by }));
    }
    return c.json({ items }, 202);
  });
}

function find(
  twins: Twins | undefined,
  device: DeviceName,
): { twins: Twins; methods: readonly DeviceMethod[] } {
  const definition = twins?.definition(device);
  if (twins && definition) return { twins, methods: definition.methods };
  const { namespace, name } = device;
  throw new AppError("not_found", `devices "${namespace}/${name}" not found`);
}

function methodOf(
  methods: readonly DeviceMethod[],
  { namespace, name }: DeviceName,
  wanted: string,
): DeviceMethod {
  const method = methods.find((each) => each.name === wanted);
  if (method) return method;
  const known = methods.map((each) => each.name).join(", ") || "none";
  throw new AppError(
    "not_found",
    `Method "${wanted}" of device ${namespace}/${name} not found; it has: ${known}`,
  );
}

function toValues({ name, propertyNames = [] }: DeviceMethod, given: unknown): Map<string, string> {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new AppError("invalid", "Cannot read the request: properties must be an object");
  }
  const entries = Object.entries(given);
  if (entries.length === 0 || entries.length > PROPERTIES_MAX) {
    throw new AppError(
      "invalid",
      `Cannot call method ${name}: properties must be 1 to ${PROPERTIES_MAX}, ` +
        `got ${entries.length}`,
    );
  }
  for (const [property] of entries) {
    if (propertyNames.includes(property)) continue;
    throw new AppError(
      "invalid",
      `Cannot call method ${name}: property "${property.slice(0, 128)}" is not one of its own: ` +
        `${propertyNames.join(", ") || "none"}`,
    );
  }
  return new Map(entries.map(([property, value]) => [
    property,
    toValue(value, `properties.${property}`),
  ]));
}

function checkWritable(twins: Twins, device: DeviceName, property: string): void {
  const view = twins.twin(device, property);
  if (view && !view.readOnly) return;
  const { namespace, name } = device;
  throw view
    ? new AppError("invalid", `${property} is read-only: nothing can be set`)
    : new AppError("not_found", `Property "${property}" of device ${namespace}/${name} not found`);
}

function toItem(
  twins: Twins,
  device: DeviceName,
  { name, description, propertyNames = [] }: DeviceMethod,
): MethodItem {
  const properties = propertyNames.flatMap((property) => {
    const view = twins.twin(device, property);
    if (!view) return [];
    const accessMode = view.readOnly ? "ReadOnly" : "ReadWrite";
    return [{ property, type: view.type, accessMode }];
  });
  return { name, ...(description ? { description } : {}), properties };
}

function nameOf(c: Context): DeviceName {
  return { namespace: c.req.param("namespace") ?? "", name: c.req.param("name") ?? "" };
}
