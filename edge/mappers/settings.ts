/**
 * Settings of configData, which manifests write as numbers, texts or booleans alike, and values of
 * properties as text. Pure.
 */
import { valueProblem } from "../../shared/devices/values.ts";
import { AppError } from "../../shared/errors.ts";
import type { PropertyType } from "../../shared/k8s/devices.ts";
import type { Point } from "./port.ts";

type Config = Readonly<Record<string, unknown>>;

export function textSetting(value: unknown): string | undefined {
  if (typeof value === "string" && value.trim() !== "") return value.trim();
  return typeof value === "number" || typeof value === "boolean" ? String(value) : undefined;
}

/** Undefined when it is not there, or is no whole number within bounds. */
export function wholeSetting(
  value: unknown,
  bounds: readonly [number, number],
): number | undefined {
  const number = numberSetting(value);
  if (number === undefined || !Number.isInteger(number)) return undefined;
  return number >= bounds[0] && number <= bounds[1] ? number : undefined;
}

export function numberSetting(value: unknown): number | undefined {
  const text = textSetting(value);
  const number = text === undefined ? NaN : Number(text);
  return Number.isFinite(number) ? number : undefined;
}

export function flagSetting(value: unknown): boolean {
  return value === true || value === "true";
}

/** A setting that must be there and in bounds. */
export function needWhole(config: Config, key: string, bounds: readonly [number, number]): number {
  const number = wholeSetting(config[key], bounds);
  if (number !== undefined) return number;
  throw badSetting(key, `a whole number from ${bounds[0]} to ${bounds[1]}`, config[key]);
}

export function needText(config: Config, key: string): string {
  const text = textSetting(config[key]);
  if (text !== undefined) return text;
  throw badSetting(key, "a text", config[key]);
}

export function badSetting(key: string, must: string, value: unknown): AppError {
  const got = value === undefined ? "nothing" : JSON.stringify(value)?.slice(0, 100);
  return new AppError("invalid", `Cannot use configData: ${key} must be ${must}, got ${got}`);
}

/** A value as the text of the property's type. Throws when it is none. */
export function valueText(point: Pick<Point, "type">, value: unknown): string {
  const text = toText(point.type, value);
  const problem = valueProblem(point.type, text);
  if (problem === undefined) return text;
  throw new AppError(
    "invalid",
    `Device gave no ${point.type}: ${problem}, got ${text.slice(0, 60)}`,
  );
}

function toText(type: PropertyType, value: unknown): string {
  if (value instanceof Uint8Array) {
    return type === "BYTES" ? value.toBase64() : new TextDecoder().decode(value);
  }
  switch (typeof value) {
    case "string":
      return type === "STRING" || type === "STREAM" ? value : value.trim();
    case "boolean":
      return type === "INT" || type === "FLOAT" || type === "DOUBLE"
        ? String(+value)
        : String(value);
    case "number":
      if (type === "BOOLEAN") return String(value !== 0);
      // a number that is whole may come as 3.0000000000000004 after scaling
      return type === "INT" && Number.isFinite(value)
        ? BigInt(Math.round(value)).toString()
        : String(value);
    case "bigint":
      return type === "BOOLEAN" ? String(value !== 0n) : value.toString();
    default:
      return value === null || value === undefined ? "" : JSON.stringify(value);
  }
}

const TRUE = new Set("1 t T TRUE true True".split(" "));

export function isTrue(text: string): boolean {
  return TRUE.has(text);
}

/** Whether two texts are one value of a type. */
export function saysSame(type: PropertyType, a: string, b: string): boolean {
  if (a === b) return true;
  switch (type) {
    case "BOOLEAN":
      return isTrue(a) === isTrue(b);
    case "INT":
      return /^-?\d+$/.test(a) && /^-?\d+$/.test(b) && BigInt(a) === BigInt(b);
    case "FLOAT":
      return Math.fround(Number(a)) === Math.fround(Number(b));
    case "DOUBLE":
      return Number(a) === Number(b);
    default:
      return false;
  }
}

/** Text of a 32-bit float: the fewest digits that are the same float again. */
export function float32Text(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const shorter = Number(value.toPrecision(digits));
    if (Math.fround(shorter) === value) return String(shorter);
  }
  return String(Number(value.toPrecision(9)));
}
