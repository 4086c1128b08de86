/**
 * The one place that says what becomes of a command. Pure: facts in, events and rejections out; the
 * same command on the facts it made changes nothing. One writer per field: a report never touches
 * desired, and the cloud's word on desired ends every edit of the site.
 */
import type { TwinValue } from "../../shared/k8s/devices.ts";
import {
  ALIVE_STATES,
  type Decision,
  type Desired,
  DEVICE_STATES,
  type DeviceFacts,
  type DeviceLife,
  type DeviceState,
  type Rejection,
  type Reported,
  type ReportedValue,
  type Twin,
  type TwinCommand,
  type TwinEvent,
} from "./model.ts";
import { checkMetadata, checkValue, meansSame } from "./values.ts";

/** ECMAScript's and everybody's last day. */
const TIME_MS_MAX = 8.64e15;
/** Edits of the site that one after them remembers. */
const PASSED_MAX = 16;
/** Metadata that differs with every reading of the same value. */
const STAMP_KEYS: readonly string[] = ["timestamp"];

export function decide(facts: DeviceFacts, command: TwinCommand, nowMs: number): Decision {
  switch (command.kind) {
    case "report":
      return decideReport(facts, command, nowMs);
    case "desire":
      return decideDesire(facts, command, nowMs);
    case "site_desire":
      return decideSiteDesire(facts, command, nowMs);
    case "settle":
      return decideSettle(facts, command, nowMs);
    case "state":
      return decideState(facts, command.state, nowMs);
    case "expire":
      return { events: expired(facts.life, command, nowMs), rejections: [] };
  }
}

type CommandOf<K extends TwinCommand["kind"]> = Extract<TwinCommand, { kind: K }>;

function decideReport(
  facts: DeviceFacts,
  { twins, timestampMs, partial, saidOffline }: CommandOf<"report">,
  nowMs: number,
): Decision {
  if (timestampMs !== undefined && !isTime(timestampMs)) {
    const reason = `Timestamp must be milliseconds since 1970, got ${timestampMs}`;
    return refused({ rule: "timestamp", reason });
  }
  const events: TwinEvent[] = [];
  const rejections: Rejection[] = [];
  for (const [property, value] of Object.entries(twins)) {
    const rejection = checkReport(facts, property, value);
    if (rejection) {
      rejections.push(rejection);
      if (!partial) return { events: [], rejections };
      continue;
    }
    const event = reportedEvent(facts, property, value, nowMs);
    if (event) events.push(event);
  }
  const accepted = Object.keys(twins).length > rejections.length;
  if (!accepted) return { events: [], rejections };
  return { events: saidOffline ? events : [...events, ...heard(facts.life, nowMs)], rejections };
}

function checkReport(
  facts: DeviceFacts,
  property: string,
  { value, metadata, version }: ReportedValue,
): Rejection | undefined {
  const rules = facts.rules(property);
  if (!rules) return unknownProperty(property);
  const known = facts.twin(property).reported?.version ?? 0;
  if (version !== undefined && version < known) {
    const reason = `Version of ${property} must be >= ${known}, got ${version}`;
    return { rule: "stale", property, reason };
  }
  return checkValue(property, rules, value) ?? checkMetadata(property, metadata);
}

function reportedEvent(
  facts: DeviceFacts,
  property: string,
  { value, metadata }: ReportedValue,
  nowMs: number,
): TwinEvent | undefined {
  const before = facts.twin(property);
  const { reported, desired, desiredVersion } = before;
  const type = facts.rules(property)?.type ?? "STRING";
  // the first report of what is desired since it is desired: the device has followed
  const confirms = desired !== undefined && reported !== undefined &&
    reported.desiredVersion < desiredVersion && meansSame(type, value, desired.value);
  const isSame = reported?.value === value && sameMetadata(reported.metadata, metadata);
  if (isSame && !confirms) return undefined;
  const after: Reported = {
    value,
    ...(metadata === undefined ? {} : { metadata }),
    version: (reported?.version ?? 0) + 1,
    atMs: nowMs,
    desiredVersion,
  };
  return { kind: "reported", property, before, after: { ...before, reported: after } };
}

/** Stamps apart: a reading of the same value a moment later is no news. */
function sameMetadata(a: TwinValue["metadata"] = {}, b: TwinValue["metadata"] = {}): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const key of keys) if (!STAMP_KEYS.includes(key) && a[key] !== b[key]) return false;
  return true;
}

function decideDesire(
  facts: DeviceFacts,
  { property, desired }: CommandOf<"desire">,
  nowMs: number,
): Decision {
  if (desired) {
    const rejection = checkDesired(facts, property, desired);
    if (rejection) return refused(rejection);
  }
  const before = facts.twin(property);
  // over an edit of the site only a word that is new counts; the old one is what it edited
  const known = before.overruled === undefined ? before.desired?.value ?? null : before.overruled;
  if (known === (desired?.value ?? null)) {
    const same = before.overruled !== undefined || !desired ||
      sameMetadata(before.desired?.metadata, desired.metadata);
    if (same) return NOTHING;
  }
  if (before.overruled !== undefined && desired && before.desired?.value === desired.value) {
    return changed(property, before, settled(before)); // the site's value became the cloud's
  }
  if (desired && before.passed?.includes(desired.value)) {
    return changed(property, before, { ...before, overruled: desired.value });
  }
  return changed(property, before, withDesired(before, desired, { source: "cloud", nowMs }));
}

function decideSiteDesire(
  facts: DeviceFacts,
  { property, value, intent, version }: CommandOf<"site_desire">,
  nowMs: number,
): Decision {
  const rejection = checkDesired(facts, property, { value });
  if (rejection) return refused(rejection);
  const before = facts.twin(property);
  if (version !== undefined && version < before.desiredVersion) {
    const reason = `Version of ${property} must be >= ${before.desiredVersion}, got ${version}`;
    return refused({ rule: "stale", property, reason });
  }
  if (before.desired?.intent === intent) return NOTHING;
  const overruled = before.overruled === undefined
    ? before.desired?.value ?? null
    : before.overruled;
  const after = withDesired(before, { value }, { source: "site", nowMs, intent });
  const passed = before.overruled === undefined || !before.desired
    ? []
    : [...before.passed ?? [], before.desired.value].slice(-PASSED_MAX);
  return changed(property, before, {
    ...after,
    overruled,
    ...(passed.length > 0 ? { passed } : {}),
  });
}

function decideSettle(
  facts: DeviceFacts,
  { property, intent, desired }: CommandOf<"settle">,
  nowMs: number,
): Decision {
  const before = facts.twin(property);
  if (before.desired?.intent !== intent || before.overruled === undefined) return NOTHING;
  if (before.desired.value === desired?.value) return changed(property, before, settled(before));
  return changed(property, before, withDesired(before, desired, { source: "cloud", nowMs }));
}

function checkDesired(
  facts: DeviceFacts,
  property: string,
  { value, metadata }: TwinValue,
): Rejection | undefined {
  const rules = facts.rules(property);
  if (!rules) return unknownProperty(property);
  if (rules.readOnly) {
    return { rule: "read_only", property, reason: `${property} is read-only: nothing can be set` };
  }
  return checkValue(property, rules, value) ?? checkMetadata(property, metadata);
}

/** The edit stands as the cloud's own. */
function settled({ desired, desiredVersion, reported }: Twin): Twin {
  const { intent: _, ...rest } = desired!; // an edit always desires something
  const kept: Desired = { ...rest, source: "cloud" };
  return { desired: kept, desiredVersion, ...(reported ? { reported } : {}) };
}

function withDesired(
  { reported, desiredVersion }: Twin,
  desired: TwinValue | null,
  { source, nowMs, intent }: { source: Desired["source"]; nowMs: number; intent?: string },
): Twin {
  const version = desiredVersion + 1;
  return {
    ...(desired ? { desired: toDesired(desired, { version, source, nowMs, intent }) } : {}),
    desiredVersion: version,
    ...(reported ? { reported } : {}),
  };
}

function toDesired(
  { value, metadata }: TwinValue,
  { version, source, nowMs, intent }: {
    version: number;
    source: Desired["source"];
    nowMs: number;
    intent: string | undefined;
  },
): Desired {
  return {
    value,
    ...(metadata === undefined ? {} : { metadata }),
    version,
    atMs: nowMs,
    source,
    ...(intent === undefined ? {} : { intent }),
  };
}

function decideState(facts: DeviceFacts, said: string, nowMs: number): Decision {
  const state = DEVICE_STATES.find((known) => known === said.toLowerCase());
  if (!state) {
    const reason = `State must be one of ${DEVICE_STATES.join(", ")}, got ${
      JSON.stringify(said.slice(0, 60))
    }`;
    return refused({ rule: "state", reason });
  }
  return { events: stateEvents(facts.life, state, nowMs), rejections: [] };
}

/** A device that says something is there. */
function heard(life: DeviceLife, nowMs: number): TwinEvent[] {
  return ALIVE_STATES.includes(life.state) ? [] : stateEvents(life, "online", nowMs);
}

function stateEvents(before: DeviceLife, state: DeviceState, nowMs: number): TwinEvent[] {
  if (before.state === state) return [];
  const wasOnline = ALIVE_STATES.includes(before.state);
  const isOnline = ALIVE_STATES.includes(state);
  const lastOnlineMs = wasOnline || isOnline ? nowMs : before.lastOnlineMs;
  const after = {
    state,
    stateAtMs: nowMs,
    ...(lastOnlineMs === undefined ? {} : { lastOnlineMs }),
  };
  return [{ kind: "state", before, after }];
}

function expired(
  before: DeviceLife,
  { state, lastSeenMs }: CommandOf<"expire">,
  nowMs: number,
): TwinEvent[] {
  if (before.state === "offline" || before.state === state) return [];
  const wasOnline = ALIVE_STATES.includes(before.state);
  const lastOnlineMs = wasOnline ? lastSeenMs : before.lastOnlineMs;
  const after = {
    state,
    stateAtMs: nowMs,
    ...(lastOnlineMs === undefined ? {} : { lastOnlineMs }),
  };
  return [{ kind: "state", before, after }];
}

/** Desired that the device has not reported since it is desired. */
export function isPending(facts: Pick<DeviceFacts, "rules" | "twin">, property: string): boolean {
  const { desired, desiredVersion, reported } = facts.twin(property);
  if (!desired) return false;
  const type = facts.rules(property)?.type ?? "STRING";
  return !reported || reported.desiredVersion < desiredVersion ||
    !meansSame(type, reported.value, desired.value);
}

const NOTHING: Decision = { events: [], rejections: [] };

function changed(property: string, before: Twin, after: Twin): Decision {
  return { events: [{ kind: "desired", property, before, after }], rejections: [] };
}

function refused(rejection: Rejection): Decision {
  return { events: [], rejections: [rejection] };
}

function unknownProperty(property: string): Rejection {
  const reason = `Property ${JSON.stringify(property.slice(0, 128))} is not in the device's model`;
  return { rule: "unknown_property", property: property.slice(0, 128), reason };
}

function isTime(ms: number): boolean {
  return Number.isSafeInteger(ms) && ms >= 0 && ms <= TIME_MS_MAX;
}
