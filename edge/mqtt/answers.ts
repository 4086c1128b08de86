/**
 * What the event bus says: results, errors, documents, deltas, membership, in KubeEdge's words.
 * Pure. Expected is what is desired, actual what was reported; versions are those of this node.
 */
import { toTime } from "../../shared/clock.ts";
import { errorChain, type ErrorCode, isAppError } from "../../shared/errors.ts";
import type { DeviceSummary, Twin, TwinView } from "../twins/port.ts";

/** Devices named in one message of membership; beyond it a list is cut. */
export const MEMBERS_MAX = 10_000;

export interface Stamp {
  eventId: string;
  nowMs: number;
}

interface WireValue {
  value: string;
  metadata: Record<string, string | number>;
}

interface WireTwin {
  expected?: WireValue;
  actual?: WireValue;
  optional: boolean;
  metadata: { type: string };
  expected_version?: { cloud: number; edge: number };
  actual_version?: { cloud: number; edge: number };
}

const CODE_OF: Record<ErrorCode, number> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  already_exists: 409,
  conflict: 409,
  stale: 409,
  exhausted: 503,
  canceled: 503,
  unavailable: 503,
  unimplemented: 400,
  internal: 500,
};

/** `rule` is the one that failed, where one is known. */
export function errorResult(stamp: Stamp, error: unknown): string {
  const code = isAppError(error) ? CODE_OF[error.code] : 500;
  const rule = isAppError(error) ? error.facts.rule : undefined;
  const reason = errorChain(error);
  return JSON.stringify({ ...header(stamp), code, reason, ...(rule ? { rule } : {}) });
}

/** Every property of the device, also one of which nothing was said yet: it has its type. */
export function twinGetResult(stamp: Stamp, views: readonly TwinView[]): string {
  return JSON.stringify({
    ...header(stamp),
    twin: byProperty(views, (view) => wireTwin(view, view.type)),
  });
}

export function twinUpdateResult(stamp: Stamp, views: readonly TwinView[]): string {
  return JSON.stringify({
    ...header(stamp),
    twin: byProperty(views, (view) => versioned(view, view.type)),
  });
}

/** Every twin with something desired; `delta` holds what the device has not followed yet. */
export function twinDelta(stamp: Stamp, views: readonly TwinView[]): string | undefined {
  const desired = views.filter((view) => view.desired);
  const pending = desired.filter((view) => view.pending);
  if (pending.length === 0) return undefined;
  return JSON.stringify({
    ...header(stamp),
    twin: byProperty(desired, (view) => wireTwin(view, view.type)),
    delta: byProperty(pending, (view) => view.desired?.value ?? ""),
  });
}

export interface TwinStep {
  property: string;
  type: string;
  before: Twin;
  after: Twin;
}

export function twinDocument(stamp: Stamp, steps: readonly TwinStep[]): string {
  const side = (twin: Twin, type: string) =>
    twin.desired ?? twin.reported ? versioned(twin, type) : null;
  return JSON.stringify({
    ...header(stamp),
    twin: byProperty(steps, ({ before, after, type }) => ({
      last: side(before, type),
      current: side(after, type),
    })),
  });
}

export function stateResult(stamp: Stamp, { name, life }: DeviceSummary): string {
  const device = { name, state: life.state, lastOnlineTime: lastOnline(life.lastOnlineMs) };
  return JSON.stringify({ ...header(stamp), device });
}

export interface Member {
  summary: DeviceSummary;
  labels: Readonly<Record<string, string>>;
}

export function membershipResult(stamp: Stamp, members: readonly Member[]): string {
  return JSON.stringify({ ...header(stamp), devices: members.map(wireDevice) });
}

export function membershipUpdated(
  stamp: Stamp,
  { added, removed }: { added: readonly Member[]; removed: readonly string[] },
): string {
  const gone = removed.map((id) => ({ id, name: id.slice(id.indexOf("/") + 1) }));
  return JSON.stringify({
    ...header(stamp),
    added_devices: added.length > 0 ? added.map(wireDevice) : null,
    removed_devices: gone.length > 0 ? gone : null,
  });
}

export function deviceUpdated(stamp: Stamp, { labels }: Member): string {
  return JSON.stringify({ ...header(stamp), attributes: attributes(labels) });
}

function wireDevice({ summary, labels }: Member): Record<string, unknown> {
  const { namespace, name, life, model } = summary;
  return {
    id: `${namespace}/${name}`,
    name,
    description: model,
    state: life.state,
    last_online: lastOnline(life.lastOnlineMs),
    attributes: attributes(labels),
  };
}

/** A Device has no attributes of its own any more: its labels are what is said of it. */
function attributes(labels: Readonly<Record<string, string>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(labels).map(([key, value]) => [
      key,
      { value, optional: true, metadata: { type: "string" } },
    ]),
  );
}

function wireTwin({ desired, reported }: Twin, type: string): WireTwin {
  return {
    ...(desired ? { expected: wireValue(desired) } : {}),
    ...(reported ? { actual: wireValue(reported) } : {}),
    optional: false,
    metadata: { type: type.toLowerCase() },
  };
}

function versioned(twin: Twin, type: string): WireTwin {
  const { desired, desiredVersion, reported } = twin;
  return {
    ...wireTwin(twin, type),
    ...(desired ? { expected_version: { cloud: 0, edge: desiredVersion } } : {}),
    ...(reported ? { actual_version: { cloud: 0, edge: reported.version } } : {}),
  };
}

/** The device's own stamp where it sent one. */
function wireValue(
  { value, metadata = {}, atMs }: {
    value: string;
    metadata?: Record<string, string>;
    atMs: number;
  },
): WireValue {
  const said = Number(metadata.timestamp);
  const timestamp = metadata.timestamp && Number.isSafeInteger(said) ? said : Math.round(atMs);
  return { value, metadata: { ...metadata, timestamp } };
}

function byProperty<T extends { property: string }, U>(
  items: readonly T[],
  make: (item: T) => U,
): Record<string, U> {
  return Object.fromEntries(items.map((item) => [item.property, make(item)]));
}

function header({ eventId, nowMs }: Stamp): { event_id: string; timestamp: number } {
  return { event_id: eventId, timestamp: Math.round(nowMs) };
}

function lastOnline(ms: number | undefined): string {
  return ms === undefined ? "" : toTime(ms);
}
