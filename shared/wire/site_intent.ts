/**
 * What somebody at the site asked for, as it travels to the cloud, and the mark by which the cloud
 * answers when it decides otherwise. The rules are in ADR 0009. An intent is identified by its id
 * for ever: applying it twice is the same as once.
 */
import { createHash } from "node:crypto";
import { AppError } from "../errors.ts";
import { canonicalJson } from "../json/json.ts";
import type { KubeObject } from "../k8s/types.ts";

export const INTENT_VERBS = ["restart", "remove"] as const;
export type IntentVerb = (typeof INTENT_VERBS)[number];

export interface SiteIntent {
  /** UUID, made at the node. */
  id: string;
  verb: IntentVerb;
  pod: { namespace: string; name: string; uid: string };
  /** Only this container; absent: the whole pod. */
  container?: string;
  /** `specDigest` of the object as the site saw it. */
  specDigest: string;
  /** RFC 3339, by the node's clock. */
  at: string;
  /** Who asked, as far as the site knows. */
  by: string;
}

/** On an object: the last intent of the site that the cloud did not follow, as JSON. */
export const CONFLICT_ANNOTATION = "skerry.dev/conflict";

export interface ConflictMark {
  intent: string;
  reason: string;
}

/** Longest text of an intent: a name has 253 characters. */
const TEXT_CHARS_MAX = 256;

/** SHA-256 (hex) of what the object shall be; equal content gives equal digests on both sides. */
export function specDigest(object: KubeObject): string {
  return createHash("sha256").update(canonicalJson(object.spec ?? {})).digest("hex");
}

/** AppError "invalid" names the field. */
export function parseSiteIntent(value: unknown): SiteIntent {
  const record = asRecord(value, "intent");
  const pod = asRecord(record.pod, "intent.pod");
  const verb = INTENT_VERBS.find((known) => known === record.verb);
  if (!verb) throw wrong("intent.verb", `one of ${INTENT_VERBS.join(", ")}`);
  return {
    id: asText(record.id, "intent.id"),
    verb,
    pod: {
      namespace: asText(pod.namespace, "intent.pod.namespace"),
      name: asText(pod.name, "intent.pod.name"),
      uid: asText(pod.uid, "intent.pod.uid"),
    },
    ...(record.container === undefined
      ? {}
      : { container: asText(record.container, "intent.container") }),
    specDigest: asText(record.specDigest, "intent.specDigest"),
    at: asText(record.at, "intent.at"),
    by: asText(record.by, "intent.by"),
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

function wrong(path: string, want: string): AppError {
  return new AppError("invalid", `Cannot read report: ${path} must be ${want}`);
}
