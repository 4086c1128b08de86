/**
 * What somebody at the site asked for, as it travels to the cloud, and the mark by which the cloud
 * answers when it decides otherwise. The rules are in ADR 0009. An intent is identified by its id
 * for ever: applying it twice is the same as once.
 */
import { createHash } from "node:crypto";
import { AppError } from "../errors.ts";
import { canonicalJson } from "../json/json.ts";
import type { KubeObject } from "../k8s/types.ts";

export const POD_VERBS = ["restart", "remove"] as const;
export type PodVerb = (typeof POD_VERBS)[number];
export type IntentVerb = PodVerb | "set_twin";

interface IntentBase {
  /** UUID, made at the node. */
  id: string;
  /** RFC 3339, by the node's clock. */
  at: string;
  /** Who asked, as far as the site knows. */
  by: string;
}

interface ObjectRef {
  namespace: string;
  name: string;
  uid: string;
}

export interface PodIntent extends IntentBase {
  verb: PodVerb;
  pod: ObjectRef;
  /** Only this container; absent: the whole pod. */
  container?: string;
  /** `specDigest` of the object as the site saw it. */
  specDigest: string;
}

/** What a property of a device shall be. */
export interface TwinIntent extends IntentBase {
  verb: "set_twin";
  device: ObjectRef;
  property: string;
  value: string;
  /** What the cloud desired when the site looked; null: nothing. */
  base: string | null;
  /** What this site desired in between, and the cloud may have followed already. */
  earlier?: string[];
}

/** Told apart by `verb`; in the form that had pods only it was the same. */
export type SiteIntent = PodIntent | TwinIntent;

/** Earlier edits that one intent accounts for; with more, the oldest are forgotten. */
export const EARLIER_MAX = 16;

/** On an object: the last intent of the site that the cloud did not follow, as JSON. */
export const CONFLICT_ANNOTATION = "skerry.dev/conflict";

export interface ConflictMark {
  intent: string;
  reason: string;
}

/** Longest text of an intent: a name has 253 characters. */
const TEXT_CHARS_MAX = 256;
/** A value of a twin has 64 KiB. */
const VALUE_CHARS_MAX = 64 * 1024;

/** SHA-256 (hex) of what the object shall be; equal content gives equal digests on both sides. */
export function specDigest(object: KubeObject): string {
  return createHash("sha256").update(canonicalJson(object.spec ?? {})).digest("hex");
}

/** AppError "invalid" names the field. */
export function parseSiteIntent(value: unknown): SiteIntent {
  const record = asRecord(value, "intent");
  const base: IntentBase = {
    id: asText(record.id, "intent.id"),
    at: asText(record.at, "intent.at"),
    by: asText(record.by, "intent.by"),
  };
  if (record.verb === "set_twin") return { ...base, ...parseTwin(record) };
  const verb = POD_VERBS.find((known) => known === record.verb);
  if (!verb) throw wrong("intent.verb", `one of ${POD_VERBS.join(", ")}, set_twin`);
  return {
    ...base,
    verb,
    pod: parseRef(record.pod, "intent.pod"),
    ...(record.container === undefined
      ? {}
      : { container: asText(record.container, "intent.container") }),
    specDigest: asText(record.specDigest, "intent.specDigest"),
  };
}

function parseTwin(record: Record<string, unknown>): Omit<TwinIntent, keyof IntentBase> {
  const { earlier } = record;
  if (earlier !== undefined && (!Array.isArray(earlier) || earlier.length > EARLIER_MAX)) {
    throw wrong("intent.earlier", `at most ${EARLIER_MAX} texts`);
  }
  return {
    verb: "set_twin",
    device: parseRef(record.device, "intent.device"),
    property: asText(record.property, "intent.property"),
    value: asValue(record.value, "intent.value"),
    base: record.base === null ? null : asValue(record.base, "intent.base"),
    ...(earlier ? { earlier: earlier.map((each) => asValue(each, "intent.earlier")) } : {}),
  };
}

function parseRef(value: unknown, path: string): ObjectRef {
  const record = asRecord(value, path);
  return {
    namespace: asText(record.namespace, `${path}.namespace`),
    name: asText(record.name, `${path}.name`),
    uid: asText(record.uid, `${path}.uid`),
  };
}

export function formatConflict(mark: ConflictMark): string {
  return JSON.stringify(mark);
}

/** The mark on `object`, or undefined; what people wrote there by hand counts as none. */
export function conflictOf(object: KubeObject): ConflictMark | undefined {
  const text = object.metadata.annotations?.[CONFLICT_ANNOTATION];
  if (text === undefined) return undefined;
  try {
    const { intent, reason } = JSON.parse(text);
    return typeof intent === "string" && typeof reason === "string"
      ? { intent, reason }
      : undefined;
  } catch {
    return undefined; // not ours
  }
}

function asRecord(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong(path, "an object");
  }
  return value as Record<string, unknown>; // just shown to be a plain object
}

function asText(value: unknown, path: string): string {
  if (typeof value !== "string" || value === "" || value.length > TEXT_CHARS_MAX) {
    throw wrong(path, `a text of 1 to ${TEXT_CHARS_MAX} characters`);
  }
  return value;
}

function asValue(value: unknown, path: string): string {
  if (typeof value !== "string" || value.length > VALUE_CHARS_MAX) {
    throw wrong(path, `a text of at most ${VALUE_CHARS_MAX} characters`);
  }
  return value;
}

function wrong(path: string, want: string): AppError {
  return new AppError("invalid", `Cannot read report: ${path} must be ${want}`);
}
