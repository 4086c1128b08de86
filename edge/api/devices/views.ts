/** Devices and twins as the local API shows them. Pure: shapes and stamps, nothing decided. */
import { toMicroTime } from "../../../shared/clock.ts";
import type { MappedStatus } from "../../mappers/port.ts";
import type {
  Desired,
  DeviceDefinition,
  DeviceName,
  DeviceSummary,
  HistoryAnswer,
  HistoryAt,
  Reported,
  TwinChange,
  Twins,
  TwinView,
} from "../../twins/port.ts";

/** RFC 3339 with milliseconds. */
export function stamp(ms: number): string {
  return toMicroTime(ms).replace(/000Z$/, "Z");
}

export function deviceView(summary: DeviceSummary): Record<string, unknown> {
  const { namespace, name, uid, model, life, lastSeenMs } = summary;
  return {
    namespace,
    name,
    uid,
    model,
    state: life.state,
    stateSince: stamp(life.stateAtMs),
    ...(life.lastOnlineMs === undefined ? {} : { lastOnlineTime: stamp(life.lastOnlineMs) }),
    ...(lastSeenMs === undefined ? {} : { lastSeen: stamp(lastSeenMs) }),
  };
}

/** Properties in trouble that are named one by one. */
const PROBLEMS_MAX = 50;
/** Of why a device is not reached; that of a property is short already. */
const REASON_CHARS_MAX = 1_000;

/** One device with everything that is known of it; undefined when there is none. */
export function deviceDetail(
  twins: Twins,
  device: DeviceName,
  mapped?: MappedStatus,
): Record<string, unknown> | undefined {
  const summary = twins.get(device);
  if (!summary) return undefined;
  return {
    ...deviceView(summary),
    ...definitionView(twins.definition(device)),
    ...(mapped ? { mapper: mapperView(mapped) } : {}),
    twins: twins.twins(device).map(twinView),
  };
}

function definitionView(definition: DeviceDefinition | undefined): Record<string, unknown> {
  if (!definition) return {};
  const { labels, protocol, methods } = definition;
  return {
    labels,
    ...(protocol.name === "" ? {} : { protocol: protocol.name }),
    methods: methods.map(({ name }) => name),
  };
}

/** The mapper of this program that speaks to a device. */
function mapperView({ protocol, state, reason, problems }: MappedStatus): Record<string, unknown> {
  const all = Object.entries(problems);
  const more = all.length - PROBLEMS_MAX;
  return {
    protocol,
    state,
    ...(reason === "" ? {} : { reason: reason.slice(0, REASON_CHARS_MAX) }),
    problems: Object.fromEntries(all.slice(0, PROBLEMS_MAX)),
    ...(more > 0 ? { moreProblems: more } : {}),
  };
}

export function twinView(view: TwinView): Record<string, unknown> {
  const { property, type, readOnly, pending, desired, reported } = view;
  return {
    property,
    type,
    accessMode: readOnly ? "ReadOnly" : "ReadWrite",
    pending,
    ...(desired ? { desired: valueView(desired) } : {}),
    ...(reported ? { reported: valueView(reported) } : {}),
    ...(view.overruled === undefined ? {} : { cloudDesired: view.overruled }),
  };
}

function valueView(said: Desired | Reported): Record<string, unknown> {
  const { value, version, atMs, metadata } = said;
  return {
    value,
    version,
    time: stamp(atMs),
    ...(metadata ? { metadata } : {}),
    ...("source" in said ? { source: said.source } : {}),
    ...("intent" in said && said.intent !== undefined ? { intent: said.intent } : {}),
  };
}

export function changeView(change: TwinChange): Record<string, unknown> {
  const base = { kind: change.kind, ...change.device };
  if (change.kind === "state") return { ...base, state: change.after.state };
  if (change.kind !== "desired" && change.kind !== "reported") return base;
  const said = change.after[change.kind];
  return {
    ...base,
    property: change.property,
    ...(said ? valueView(said) : { value: null }),
  };
}

export function historyView({ points, next }: HistoryAnswer): Record<string, unknown> {
  return {
    items: points.map(({ atMs, ...point }) => ({ time: stamp(atMs), ...point })),
    ...(next === undefined ? {} : { next }),
  };
}

export function atView({ property, known, desired, reported }: HistoryAt): Record<string, unknown> {
  const said = ({ value, atMs, version }: NonNullable<HistoryAt["desired"]>) => ({
    value,
    version,
    time: stamp(atMs),
  });
  return {
    property,
    known,
    ...(desired ? { desired: said(desired) } : {}),
    ...(reported ? { reported: said(reported) } : {}),
  };
}
