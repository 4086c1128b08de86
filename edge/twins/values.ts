/**
 * Values of properties against the rules of their model. Pure. A value is a text everywhere, so
 * that nothing of it is lost; here it is only judged, and numbers are compared as numbers.
 */
import type { PropertyType } from "../../shared/k8s/devices.ts";
import type { PropertyRules, Rejection } from "./model.ts";

export const VALUE_BYTES_MAX = 64 * 1024;
export const METADATA_BYTES_MAX = 4 * 1024;
export const METADATA_KEYS_MAX = 32;
/** A name in a model; KubeEdge's limit. */
export const PROPERTY_CHARS_MAX = 128;
/** Digits of a whole number worth looking at: int64 has 19. */
const INT_CHARS_MAX = 24;
const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const FLOAT_MAX = 3.4028234663852886e38;
const SHOWN_CHARS_MAX = 60;

const INTEGER = /^[+-]?\d+$/;
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Why `value` cannot be a value of `property`, or undefined when it can. */
export function checkValue(
  property: string,
  rules: PropertyRules,
  value: string,
): Rejection | undefined {
  if (value.length > VALUE_BYTES_MAX || utf8Bytes(value) > VALUE_BYTES_MAX) {
    const reason = `Value of ${property} must be <= ${VALUE_BYTES_MAX} bytes, ` +
      `got ${utf8Bytes(value)}`;
    return { rule: "too_big", property, reason };
  }
  if (!isOfType(rules.type, value)) {
    const reason = `Value of ${property} must be ${TYPE_WORDS[rules.type]}, got ${shown(value)}`;
    return { rule: "type", property, reason };
  }
  return checkRange(property, rules, value);
}

function checkRange(
  property: string,
  { type, minimum, maximum }: PropertyRules,
  value: string,
): Rejection | undefined {
  if (!isNumeric(type)) return undefined;
  const reject = (word: string, bound: string): Rejection => ({
    rule: "range",
    property,
    reason: `Value of ${property} must be ${word} ${bound}, got ${shown(value)}`,
  });
  // a bound that is no number was not checked where it was written, and bounds nothing
  if (minimum !== undefined && (compareNumbers(value, minimum) ?? 0) < 0) {
    return reject(">=", minimum);
  }
  if (maximum !== undefined && (compareNumbers(value, maximum) ?? 0) > 0) {
    return reject("<=", maximum);
  }
  return undefined;
}

const TYPE_WORDS: Record<PropertyType, string> = {
  INT: "a whole number of 64 bits",
  FLOAT: "a number of single precision",
  DOUBLE: "a number of double precision",
  STRING: "well-formed text",
  BOOLEAN: "true or false",
  BYTES: "base64",
  STREAM: "well-formed text",
};

function isOfType(type: PropertyType, value: string): boolean {
  switch (type) {
    case "INT":
      return parseInteger(value) !== undefined;
    case "FLOAT":
      return DECIMAL.test(value) && Math.abs(Number(value)) <= FLOAT_MAX;
    case "DOUBLE":
      return DECIMAL.test(value) && Number.isFinite(Number(value));
    case "BOOLEAN":
      return /^(true|false)$/i.test(value);
    case "BYTES":
      return BASE64.test(value);
    case "STRING":
    case "STREAM":
      return value.isWellFormed();
  }
}

function parseInteger(value: string): bigint | undefined {
  if (value.length > INT_CHARS_MAX || !INTEGER.test(value)) return undefined;
  const number = BigInt(value.startsWith("+") ? value.slice(1) : value);
  return number >= INT64_MIN && number <= INT64_MAX ? number : undefined;
}

/** Negative, 0 or positive; undefined where one of the two is no number. */
function compareNumbers(a: string, b: string): number | undefined {
  const whole = [parseInteger(a), parseInteger(b)];
  if (whole[0] !== undefined && whole[1] !== undefined) {
    return whole[0] < whole[1] ? -1 : whole[0] > whole[1] ? 1 : 0;
  }
  if (!DECIMAL.test(a) || !DECIMAL.test(b)) return undefined;
  return Math.sign(Number(a) - Number(b));
}

/** True when the two texts mean the same to a device: 1.0 and 1, TRUE and true. */
export function meansSame(type: PropertyType, a: string, b: string): boolean {
  if (a === b) return true;
  if (isNumeric(type)) return compareNumbers(a, b) === 0;
  return type === "BOOLEAN" && a.toLowerCase() === b.toLowerCase();
}

export function isNumeric(type: PropertyType): boolean {
  return type === "INT" || type === "FLOAT" || type === "DOUBLE";
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

function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    // of a surrogate pair each half counts two
    bytes += unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2;
  }
  return bytes;
}

function shown(value: string): string {
  return JSON.stringify(
    value.length <= SHOWN_CHARS_MAX ? value : `${value.slice(0, SHOWN_CHARS_MAX)}…`,
  );
}
