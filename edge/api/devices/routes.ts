/**
 * `/v1/devices`: what the node knows of its devices, link or no link; what they were; what they
 * shall be (an intent, which the cloud merges); and, for devices that speak HTTP, what they report.
 */
import type { Context, Hono } from "hono";
import { AppError } from "../../../shared/errors.ts";
import type { Intents } from "../../intents/port.ts";
import type { MappedStatus } from "../../mappers/port.ts";
import type { DeviceName, Twins, TwinView } from "../../twins/port.ts";
import { askedBy } from "../site/acts.ts";
import { changeStream } from "./changes.ts";
import { addMethods } from "./methods.ts";
import {
  readBody,
  toCount,
  toQuestion,
  toReport,
  toReported,
  toTimeMs,
  toTimestamp,
  toValue,
  toVersion,
} from "./requests.ts";
import { atView, deviceDetail, deviceView, historyView, twinView } from "./views.ts";

export interface DeviceSources {
  /** Undefined while the node has no device. */
  devices: () => Twins | undefined;
  intents: Intents;
  /** How a mapper of this program is with a device it speaks to. */
  mapped?: (device: DeviceName) => MappedStatus | undefined;
}

/** One page of `/v1/devices`. */
const LIST_MAX = 10_000;

export function addDevices(app: Hono, sources: DeviceSources): void {
  const { devices } = sources;
  const stream = changeStream(devices);
  app.get("/v1/devices/watch", (c) => stream(c));
  app.get("/v1/devices", (c) => {
    if (wantsStream(c)) return stream(c);
    return c.json(listOf(c, devices()));
  });
  app.get("/v1/devices/:namespace/:name", (c) => {
    const device = nameOf(c);
    if (wantsStream(c)) return stream(c, device);
    const twins = devices();
    const detail = twins && deviceDetail(twins, device, sources.mapped?.(device));
    if (!detail) throw notFound(device);
    return c.json(detail);
  });
  app.get("/v1/devices/:namespace/:name/twins", (c) => {
    const device = nameOf(c);
    return c.json({ items: known(devices(), device).twins(device).map(twinView) });
  });
  app.get("/v1/devices/:namespace/:name/twins/:property", (c) => {
    const device = nameOf(c);
    return c.json(twinView(twinOf(known(devices(), device), device, c.req.param("property"))));
  });
  addPast(app, sources);
  addActs(app, sources);
  addReports(app, sources);
  addMethods(app, sources);
}

function addPast(app: Hono, { devices }: DeviceSources): void {
  app.get("/v1/devices/:namespace/:name/history", async (c) => {
    const device = nameOf(c);
    const question = toQuestion(new URL(c.req.url).searchParams);
    return c.json(historyView(await known(devices(), device).history(device, question)));
  });
  app.get("/v1/devices/:namespace/:name/at", async (c) => {
    const device = nameOf(c);
    const timeMs = toTimeMs("time", c.req.query("time"));
    if (timeMs === undefined) {
      throw new AppError("invalid", "Cannot read the request: time must be given, in RFC 3339");
    }
    const items = await known(devices(), device).at(device, timeMs);
    return c.json({ items: items.map(atView) });
  });
}

function addActs(app: Hono, { devices, intents }: DeviceSources): void {
  app.patch("/v1/devices/:namespace/:name/twins/:property", async (c) => {
    const device = nameOf(c);
    const property = c.req.param("property");
    const body = await readBody(c.req.raw);
    const twins = known(devices(), device);
    if ("desired" in body === "reported" in body) {
      throw new AppError("invalid", "Cannot read the request: give either desired or reported");
    }
    if ("reported" in body) {
      const value = toReported(body.reported, "reported");
      await twins.report(device, { twins: { [property]: value }, ...toTimestamp(body.timestamp) });
      return c.json(twinView(twinOf(twins, device, property)));
    }
    const value = toValue(body.desired, "desired");
    const version = toVersion(body.version);
    const by = askedBy(c);
    const intent = await intents.setTwin({ ...device, property, value, ...version, by });
    return c.json(intent, 202);
  });
}

/** For devices that speak HTTP themselves. */
function addReports(app: Hono, { devices }: DeviceSources): void {
  const report = async (c: Context) => {
    const device = nameOf(c);
    const twins = known(devices(), device);
    const { events, rejections } = await twins.report(device, toReport(await readBody(c.req.raw)));
    const changed = events.flatMap((event) => event.kind === "reported" ? [event.property] : []);
    return c.json({ changed, rejected: rejections });
  };
  app.patch("/v1/devices/:namespace/:name/twins", report);
  app.put("/v1/devices/:namespace/:name/twins", report);
  app.patch("/v1/devices/:namespace/:name", async (c) => {
    const device = nameOf(c);
    const { state } = await readBody(c.req.raw);
    if (typeof state !== "string") {
      throw new AppError("invalid", "Cannot read the request: state must be a text");
    }
    const twins = known(devices(), device);
    await twins.reportState(device, state);
    const summary = twins.get(device);
    if (!summary) throw notFound(device);
    return c.json(deviceView(summary));
  });
}

function listOf(c: Context, twins: Twins | undefined): Record<string, unknown> {
  const namespace = c.req.query("namespace");
  const after = c.req.query("continue");
  const limit = Math.min(toCount("limit", c.req.query("limit")) ?? LIST_MAX, LIST_MAX);
  const found = twins?.list({
    limit: limit + 1,
    ...(namespace === undefined ? {} : { namespace }),
    ...(after === undefined ? {} : { after }),
  }) ?? [];
  const shown = found.slice(0, limit);
  const last = shown.at(-1);
  const more = found.length > shown.length && last;
  return {
    items: shown.map(deviceView),
    ...(more ? { continue: `${last.namespace}/${last.name}` } : {}),
  };
}

function wantsStream(c: Context): boolean {
  const watch = c.req.query("watch");
  return (watch !== undefined && watch !== "false" && watch !== "0") ||
    (c.req.header("accept") ?? "").includes("text/event-stream");
}

function nameOf(c: Context): DeviceName {
  return { namespace: c.req.param("namespace") ?? "", name: c.req.param("name") ?? "" };
}

function known(twins: Twins | undefined, device: DeviceName): Twins {
  if (!twins?.get(device)) throw notFound(device);
  return twins;
}

function twinOf(twins: Twins, device: DeviceName, property: string): TwinView {
  const view = twins.twin(device, property);
  if (view) return view;
  const { namespace, name } = device;
  throw new AppError(
    "not_found",
    `Property "${property}" of device ${namespace}/${name} not found`,
  );
}

function notFound({ namespace, name }: DeviceName): AppError {
  return new AppError("not_found", `devices "${namespace}/${name}" not found`);
}
