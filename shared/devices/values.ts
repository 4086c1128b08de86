/**
 * Values of properties are texts on every wire. Whether a text is a value of a type, and lies
 * within a model's bounds, is decided here and nowhere else. A double keeps all its digits, because
 * nothing converts the text. Pure.
 */
import type { ModelProperty, PropertyType } from "../k8s/devices.ts";

/** 64 KiB of UTF-8: a page of text, a certificate, a small picture. */
export const VALUE_BYTES_MAX = 65_536;

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const DECIMAL = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?$/;
/** As Go's ParseBool, because mappers read booleans with it. */
const BOOLEANS = new Set("1 t T TRUE true True 0 f F FALSE false False".split(" "));

export type Bounds = Pick<ModelProperty, "minimum" | "maximum">;

export function utf8Bytes(text: string): number {
  // most values are ASCII and short; only others are measured
  return text.length * 3 <= VALUE_BYTES_MAX ? text.length : new TextEncoder().encode(text).length;
}

/** What is wrong with `text` as a value of `type`; undefined when nothing is. */
export function valueProblem(
  type: PropertyType,
  text: string,
  bounds: Bounds = {},
): string | undefined {
  if (utf8Bytes(text) > VALUE_BYTES_MAX) return `must be at most ${VALUE_BYTES_MAX} bytes`;
  switch (type) {
    case "INT":
      return intProblem(text) ?? intBounds(BigInt(text), bounds);
    case "FLOAT":
    case "DOUBLE":
      return numberProblem(type, text) ?? numberBounds(Number(text), bounds);
    case "BOOLEAN":
      return BOOLEANS.has(text) ? undefined : "must be a boolean: true or false";
    case "BYTES":
      return isBase64(text) ? undefined : "must be bytes in base64";
    case "STRING":
    case "STREAM":
      return undefined;
  }
}

export function isNumeric(type: PropertyType | undefined): boolean {
  return type === "INT" || type === "FLOAT" || type === "DOUBLE";
}

function intProblem(text: string): string | undefined {
  // BigInt() takes no plus sign, and a text this long is out of range anyway
  if (!/^-?\d{1,20}$/.test(text)) return "must be a whole number";
  const value = BigInt(text);
  if (value >= INT64_MIN && value <= INT64_MAX) return undefined;
  return "must be a whole number of 64 bits";
}

function intBounds(value: bigint, { minimum, maximum }: Bounds): string | undefined {
  // bounds that are no numbers are the model's problem
  if (minimum && !intProblem(minimum) && value < BigInt(minimum)) return below(minimum);
  if (maximum && !intProblem(maximum) && value > BigInt(maximum)) return above(maximum);
  return undefined;
}

function numberProblem(type: PropertyType, text: string): string | undefined {
  const value = DECIMAL.test(text) ? Number(text) : NaN;
  if (!Number.isFinite(value)) return "must be a finite decimal number";
  // rounded as Go's ParseFloat does: the shortest text of the greatest float lies above it
  if (type === "FLOAT" && !Number.isFinite(Math.fround(value))) {
    return "must be a number of 32-bit floating point";
  }
  return undefined;
}

function numberBounds(value: number, { minimum, maximum }: Bounds): string | undefined {
  if (minimum && value < Number(minimum)) return below(minimum);
  if (maximum && value > Number(maximum)) return above(maximum);
  return undefined;
}

function below(minimum: string): string {
  return `must be greater than or equal to the model's minimum, ${minimum}`;
}

function above(maximum: string): string {
  return `must be less than or equal to the model's maximum, ${maximum}`;
}

function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}
