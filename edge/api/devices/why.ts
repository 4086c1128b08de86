/**
 * Why a device is not as it should be, in sentences. Pure: what is desired and reported, what the
 * node holds, and how the link is. A device that is heard of and has followed has no reasons.
 */
import type { Intent } from "../../intents/port.ts";
import type { DeviceDefinition, DeviceSummary, TwinView } from "../../twins/port.ts";
import type { MapperRefusal, MapperStatus } from "../../dmi/port.ts";
import type { MappedStatus } from "../../mappers/port.ts";
import type { LinkStatus } from "../port.ts";
import { stamp } from "./views.ts";

export interface DeviceReason {
  code: string;
  message: string;
}

export interface DeviceWhy {
  kind: "device";
  namespace: string;
  name: string;
  /** One sentence. */
  summary: string;
  reasons: DeviceReason[];
}

export interface DeviceWhySources {
  device: DeviceSummary;
  definition: DeviceDefinition | undefined;
  twins: readonly TwinView[];
  intents: readonly Intent[];
  link: Pick<LinkStatus, "state">;
  /** The node holds the model the device names. */
  holdsModel: boolean;
  /** The mapper outside this program that speaks the device's protocol. */
  mapper?: MapperStatus | undefined;
  /** What that mapper did not take of the device. */
  refusal?: MapperRefusal | undefined;
  /** How the mapper of this program is with it, where one speaks its protocol. */
  mapped?: MappedStatus | undefined;
}

/** Properties named one by one. */
const NAMED_MAX = 20;
const VALUE_CHARS_SHOWN = 60;
const REASON_CHARS_SHOWN = 300;
const ALIVE = ["online", "ok"];

export function explainDevice(sources: DeviceWhySources): DeviceWhy {
  const { namespace, name, life } = sources.device;
  const reasons = [
    ...modelReasons(sources),
    ...mapperReasons(sources),
    ...builtInReasons(sources),
    ...lifeReasons(sources),
    ...siteReasons(sources),
    ...pendingReasons(sources),
  ];
  const pending = sources.twins.filter((twin) => twin.pending).length;
  const desired = sources.twins.filter((twin) => twin.desired).length;
  const followed = desired === 0
    ? "nothing is desired of it"
    : `it has followed ${desired - pending} of ${desired} desired values`;
  const first = reasons[0] ? ` ${reasons[0].message}` : "";
  const summary = `Device ${namespace}/${name} is ${life.state}; ${followed}.${first}`;
  return { kind: "device", namespace, name, summary, reasons };
}

function modelReasons({ device, definition, holdsModel, link }: DeviceWhySources): DeviceReason[] {
  const reasons: DeviceReason[] = [];
  if (device.model === "") {
    const message = "It names no model, so any text is taken for its properties.";
    reasons.push({ code: "NoModel", message });
  } else if (!holdsModel) {
    const message = `DeviceModel ${device.model}, which it names, is not on this node: ` +
      (link.state === "live"
        ? "the cloud has none of that name in its namespace."
        : `it may come when the link is back (it is ${link.state}).`);
    reasons.push({ code: "ModelMissing", message });
  }
  if (definition && definition.properties.length === 0) {
    reasons.push({ code: "NoProperties", message: "Neither it nor its model has a property." });
  }
  return reasons;
}

/** Of a mapper outside this program. */
function mapperReasons({ mapper, refusal }: DeviceWhySources): DeviceReason[] {
  if (!mapper) return [];
  const { protocol, name, connection, waiting } = mapper;
  const who = `Mapper ${name || protocol} of protocol ${protocol}`;
  if (connection.kind === "away") {
    const message = `${who} does not answer since ${stamp(connection.sinceMs)} ` +
      `(${connection.problem}); what it is to be told waits.`;
    return [{ code: "MapperAway", message }];
  }
  if (refusal) {
    const message = `${who} did not take ${refusal.call}: ${refusal.message}.`;
    return [{ code: "MapperRefuses", message }];
  }
  if (connection.kind === "known" && waiting > 0) {
    return [{ code: "MapperNotReached", message: `${who} has not been reached yet.` }];
  }
  return [];
}

/** What the mapper of this program says of the device, and of each property in trouble. */
function builtInReasons({ mapped }: DeviceWhySources): DeviceReason[] {
  if (!mapped) return [];
  const who = `The built-in mapper for ${mapped.protocol}`;
  if (mapped.state === "offline") {
    const message = `${who} does not reach it: ${cut(mapped.reason)}. It goes on trying.`;
    return [{ code: "NotReached", message }];
  }
  if (mapped.state === "connecting") {
    return [{ code: "Connecting", message: `${who} has not reached it yet.` }];
  }
  const problems = Object.entries(mapped.problems);
  const reasons = problems.slice(0, NAMED_MAX).map(([property, problem]) => ({
    code: "PropertyTrouble",
    message: `${who} has trouble with ${property}: ${cut(problem)}.`,
  }));
  const more = problems.length - reasons.length;
  if (more > 0) {
    reasons.push({ code: "PropertyTrouble", message: `… and ${more} more properties in trouble.` });
  }
  return reasons;
}

function lifeReasons(
  { device, definition, twins, mapper, mapped }: DeviceWhySources,
): DeviceReason[] {
  const { life, lastSeenMs } = device;
  if (ALIVE.includes(life.state)) return [];
  const since = stamp(life.stateAtMs);
  if (life.state === "unhealthy") {
    const message = `Its mapper says since ${since} that it is unhealthy.`;
    return [{ code: "Unhealthy", message }];
  }
  const never = life.lastOnlineMs === undefined && !twins.some(({ reported }) => reported);
  if (never && lastSeenMs === undefined) {
    const speaks = definition?.protocol.name || "its protocol";
    const spokenBy = mapped ? `built in, for ${mapped.protocol}` : mapper?.name || speaks;
    const message = mapper || mapped
      ? `Nothing was ever reported of it; its mapper is ${spokenBy}.`
      : `Nothing was ever reported of it, and no mapper for ${speaks} has registered by DMI. Who ` +
        "speaks it must report by MQTT, DMI, a built-in mapper or the local API.";
    return [{ code: "NeverReported", message }];
  }
  const last = life.lastOnlineMs === undefined ? "" : `, last online ${stamp(life.lastOnlineMs)}`;
  const cycle = definition?.cycleMs === undefined
    ? ""
    : `; a report is due each ${definition.cycleMs / 1_000} s`;
  const code = life.state === "offline" ? "Offline" : "Silent";
  return [{ code, message: `It is ${life.state} since ${since}${last}${cycle}.` }];
}

function siteReasons({ intents, device, link }: DeviceWhySources): DeviceReason[] {
  const reasons: DeviceReason[] = [];
  const last = new Map<string, Intent & { verb: "set_twin" }>();
  for (const intent of intents) {
    if (intent.verb !== "set_twin" || intent.device.uid !== device.uid) continue;
    last.set(intent.property, intent);
  }
  for (const intent of last.values()) {
    const { property, value, by, at, state, reason } = intent;
    const what = `${property} was set to ${shown(value)} at the site by ${by} at ${at}`;
    if (state === "applied") {
      const message = `${what}; the cloud has not decided yet (the link is ${link.state}).`;
      reasons.push({ code: "SiteEdit", message });
    } else if (state === "conflict") {
      reasons.push({ code: "SiteEditConflict", message: `${what}, in vain: ${reason ?? ""}.` });
    }
  }
  return reasons;
}

function pendingReasons({ twins }: DeviceWhySources): DeviceReason[] {
  const pending = twins.filter((twin) => twin.pending);
  const reasons = pending.slice(0, NAMED_MAX).map(({ property, desired, reported }) => {
    const says = reported
      ? `it said ${shown(reported.value)} at ${stamp(reported.atMs)}`
      : "it has never said what it is";
    const message = `${property} shall be ${shown(desired?.value ?? "")} since ${
      stamp(desired?.atMs ?? 0)
    } (${desired?.source ?? "cloud"}); ${says}.`;
    return { code: "NotFollowed", message };
  });
  const more = pending.length - reasons.length;
  if (more > 0) reasons.push({ code: "NotFollowed", message: `… and ${more} more properties.` });
  return reasons;
}

function shown(value: string): string {
  const text = JSON.stringify(value);
  return text.length <= VALUE_CHARS_SHOWN ? text : `${text.slice(0, VALUE_CHARS_SHOWN)}…`;
}

/** Without the full stop it may have: the sentence around it has one. */
function cut(reason: string): string {
  const text = reason.replace(/\.$/, "");
  return text.length <= REASON_CHARS_SHOWN ? text : `${text.slice(0, REASON_CHARS_SHOWN)}…`;
}
