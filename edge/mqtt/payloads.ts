/**
 * What clients say to the event bus. Pure: bytes in, a request or an AppError "invalid" that names
 * the field out. Values are texts; numbers, true and false are taken as texts, since clients send
 * them. What else a message holds is not looked at.
 */
import { AppError } from "../../shared/errors.ts";
import type { ReportedValue } from "../twins/port.ts";

export const EVENT_ID_CHARS_MAX = 256;
const PROPERTIES_MAX = 1_000;
const METADATA_MAX = 64;

export interface Header {
  eventId: string;
  /** When the client says it was, ms since 1970. */
  timestampMs?: number;
}

export interface Desire {
  property: string;
  value: string;
  /** Of desired, as the client knows it. */
  version?: number;
}

export interface TwinUpdate {
  reported: Record<string, ReportedValue>;
  desired: Desire[];
  /** In the order they were named. */
  properties: string[];
}

type Json = Record<string, unknown>;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

/** A message as an object; an empty one is `{}`, as some clients ask with nothing. */
export function parseMessage(payload: Uint8Array): Json {
  if (payload.length === 0) return {};
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(payload));
  } catch (cause) {
    const what = cause instanceof SyntaxError ? cause.message : "it is not UTF-8";
    throw invalid("payload", `Cannot read the message: it must be JSON: ${what.slice(0, 120)}`);
  }
  return asObject(value, "the message");
}

/** What of the header can be echoed, however wrong the rest is. */
export function eventIdOf({ event_id }: Json): string {
  return typeof event_id === "string" && event_id.length <= EVENT_ID_CHARS_MAX ? event_id : "";
}

export function parseHeader(message: Json): Header {
  const { event_id, timestamp } = message;
  if (
    event_id !== undefined &&
    (typeof event_id !== "string" || event_id.length > EVENT_ID_CHARS_MAX)
  ) {
    throw wrong("event_id", `a text of at most ${EVENT_ID_CHARS_MAX} characters`, event_id);
  }
  if (timestamp === undefined || timestamp === 0) return { eventId: event_id ?? "" };
  if (typeof timestamp !== "number" || !Number.isSafeInteger(timestamp) || timestamp < 0) {
    throw wrong("timestamp", "milliseconds since 1970", timestamp);
  }
  return { eventId: event_id ?? "", timestampMs: timestamp };
}

export function parseTwinUpdate(message: Json): TwinUpdate {
  const twins = Object.entries(asObject(message.twin, "twin"));
  if (twins.length === 0 || twins.length > PROPERTIES_MAX) {
    throw wrong("twin", `of 1 to ${PROPERTIES_MAX} properties`, twins.length);
  }
  const reported: [string, ReportedValue][] = [];
  const desired: Desire[] = [];
  for (const [property, value] of twins) {
    const path = `twin.${property.slice(0, 128)}`;
    if (value === null || isDeletion(value)) {
      throw invalid("definition", `Cannot delete ${path}: properties come from the device's model`);
    }
    const { actual, expected, actual_version, expected_version } = asObject(value, path);
    if (actual !== undefined && actual !== null) {
      reported.push([property, toReported(actual, actual_version, `${path}.actual`)]);
    }
    if (expected !== undefined && expected !== null) {
      desired.push(toDesire(property, expected, expected_version, `${path}.expected`));
    }
    if ((actual ?? expected) === undefined || (actual ?? expected) === null) {
      throw invalid("payload", `Cannot read the message: ${path} must have actual or expected`);
    }
  }
  return {
    reported: Object.fromEntries(reported),
    desired,
    properties: twins.map(([property]) => property),
  };
}

export function parseState({ state }: Json): string {
  if (typeof state !== "string") throw wrong("state", "a text", state);
  return state;
}

/** KubeEdge's other way to say null. */
function isDeletion(value: unknown): boolean {
  if (!isObject(value) || !isObject(value.metadata)) return false;
  return value.metadata.type === "deleted";
}

function toReported(value: unknown, version: unknown, path: string): ReportedValue {
  const { value: inner, metadata } = asObject(value, path);
  return {
    value: toText(inner, `${path}.value`),
    ...(metadata === undefined || metadata === null
      ? {}
      : { metadata: toMetadata(metadata, path) }),
    ...toVersion(version, `${path}_version`),
  };
}

function toDesire(property: string, value: unknown, version: unknown, path: string): Desire {
  const { value: inner } = asObject(value, path);
  return {
    property,
    value: toText(inner, `${path}.value`),
    ...toVersion(version, `${path}_version`),
  };
}

function toMetadata(value: unknown, path: string): Record<string, string> {
  const entries = Object.entries(asObject(value, `${path}.metadata`));
  if (entries.length > METADATA_MAX) {
    throw wrong(`${path}.metadata`, `of at most ${METADATA_MAX} keys`, entries.length);
  }
  return Object.fromEntries(
    entries.map(([key, text]) => [key, toText(text, `${path}.metadata.${key.slice(0, 64)}`)]),
  );
}

/** A number, or KubeEdge's pair of which the edge counts its own part. */
function toVersion(version: unknown, path: string): { version?: number } {
  const said = isObject(version) ? version.edge : version;
  if (said === undefined || said === null) return {};
  if (typeof said !== "number" || !Number.isSafeInteger(said) || said < 0) {
    throw wrong(path, "a whole number, or {cloud, edge} of whole numbers", version);
  }
  return { version: said };
}

function toText(value: unknown, path: string): string {
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return String(value);
  if (typeof value === "number") {
    if (!Number.isInteger(value) || Number.isSafeInteger(value)) return String(value);
    throw wrong(path, "a text where a whole number has more than 15 digits", value);
  }
  throw wrong(path, "a text, a number, true or false", value);
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function asObject(value: unknown, path: string): Json {
  if (!isObject(value)) throw wrong(path, "an object", value);
  return value;
}

function wrong(path: string, want: string, got: unknown): AppError {
  return invalid("payload", `Cannot read the message: ${path} must be ${want}, got ${shown(got)}`);
}

function shown(value: unknown): string {
  if (typeof value === "object" && value !== null) {
    return Array.isArray(value) ? "a list" : "an object";
  }
  return (JSON.stringify(value) ?? "nothing").slice(0, 80);
}

function invalid(rule: string, message: string): AppError {
  return new AppError("invalid", message, { rule });
}
