/**
 * Values of properties against the rules of their model, in the engine's words. Pure. What a value
 * may be is decided in shared/devices, for both sides alike; here are the rules' names, the bounds
 * of metadata, and when two texts mean the same.
 */
import {
  isNumeric,
  utf8Bytes,
  VALUE_BYTES_MAX,
  valueProblem,
} from "../../shared/devices/values.ts";
import type { PropertyType } from "../../shared/k8s/devices.ts";
import type { PropertyRules, Rejection } from "./model.ts";

export const METADATA_BYTES_MAX = 4 * 1024;
export const METADATA_KEYS_MAX = 32;
/** A name in a model; KubeEdge's limit. */
export const PROPERTY_CHARS_MAX = 128;
const SHOWN_CHARS_MAX = 60;
const WHOLE = /^-?\d{1,20}$/;
const TRUE = new Set(["1", "t", "true"]);

/** Why `value` cannot be a value of `property`, or undefined when it can. */
export function checkValue(
  property: string,
  rules: PropertyRules,
  value: string,
): Rejection | undefined {
  const problem = valueProblem(rules.type, value, rules);
  if (problem === undefined && value.isWellFormed()) return undefined;
  if (utf8Bytes(value) > VALUE_BYTES_MAX) {
    const reason = `Value of ${property} must be <= ${VALUE_BYTES_MAX} bytes, ` +
      `got ${utf8Bytes(value)}`;
    return { rule: "too_big", property, reason };
  }
  const rule = valueProblem(rules.type, value) === undefined && value.isWellFormed()
    ? "range"
    : "type";
  const what = problem ?? "must be well-formed text";
  return { rule, property, reason: `Value of ${property} ${what}, got ${shown(value)}` };
}

/** True when the two texts mean the same to a device: 1.0 and 1, TRUE and true. */
export function meansSame(type: PropertyType, a: string, b: string): boolean {
  if (a === b) return true;
  if (type === "BOOLEAN") return TRUE.has(a.toLowerCase()) === TRUE.has(b.toLowerCase());
  if (type === "INT") return WHOLE.test(a) && WHOLE.test(b) && BigInt(a) === BigInt(b);
  return isNumeric(type) && a.trim() !== "" && Number(a) === Number(b);
}

/** Why metadata is too much, or undefined. */
export function checkMetadata(
  property: string,
  metadata: Readonly<Record<string, string>> | undefined,
): Rejection | undefined {
  if (metadata === undefined) return undefined;
  const entries = Object.entries(metadata);
  const bytes = entries.reduce((sum, [key, text]) => sum + utf8Bytes(key) + utf8Bytes(text), 0);
  if (entries.length <= METADATA_KEYS_MAX && bytes <= METADATA_BYTES_MAX) return undefined;
  const reason = `Metadata of ${property} must be <= ${METADATA_KEYS_MAX} keys and ` +
    `${METADATA_BYTES_MAX} bytes, got ${entries.length} and ${bytes}`;
  return { rule: "too_big", property, reason };
}

export function isPropertyName(name: string): boolean {
  return name.length > 0 && name.length <= PROPERTY_CHARS_MAX && name.isWellFormed() &&
    !name.includes("\0");
}

function shown(value: string): string {
  return JSON.stringify(
    value.length <= SHOWN_CHARS_MAX ? value : `${value.slice(0, SHOWN_CHARS_MAX)}…`,
  );
}
