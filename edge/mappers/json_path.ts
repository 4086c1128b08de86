/**
 * One value of a JSON text by a path: `$.motor.rpm`, `motor["rpm"]`, `list[0].value`; "" is all of
 * it. Pure.
 */
import { AppError } from "../../shared/errors.ts";

export type JsonPath = readonly (string | number)[];

const SEGMENT = /\.?([A-Za-z_$][\w$-]*)|\[(\d{1,9})\]|\[(?:"([^"]*)"|'([^']*)')\]/y;
const SEGMENTS_MAX = 64;

export function parseJsonPath(text: string): JsonPath {
  const path: (string | number)[] = [];
  const from = text.trim().replace(/^\$\.?/, "");
  SEGMENT.lastIndex = 0;
  while (SEGMENT.lastIndex < from.length) {
    const match = SEGMENT.exec(from);
    if (!match || path.length >= SEGMENTS_MAX) {
      throw new AppError(
        "invalid",
        `Cannot use jsonPath: must be like a.b[0], got ${text.slice(0, 80)}`,
      );
    }
    const [, name, index, quoted, single] = match;
    path.push(index === undefined ? name ?? quoted ?? single ?? "" : Number(index));
  }
  return path;
}

/** Undefined where the path leads nowhere. */
export function readJsonPath(value: unknown, path: JsonPath): unknown {
  let at = value;
  for (const segment of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, segment)) return undefined;
    at = Reflect.get(at, segment);
  }
  return at;
}

/** The value of a whole text, or of one place in it. */
export function pick(text: string, path: JsonPath | undefined): unknown {
  if (!path) return text;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new AppError("invalid", `Device sent no JSON: ${text.slice(0, 60)}`);
  }
  const found = readJsonPath(value, path);
  if (found !== undefined) return found;
  throw new AppError("invalid", `Device sent JSON without ${path.join(".")}`);
}

/**
 * What is sent to write a value: in `template`, `{{value}}` is the value as JSON, and `{{text}}` as
 * it is.
 */
export function fillTemplate(template: string, type: string, value: string): string {
  const isBare = type === "INT" || type === "FLOAT" || type === "DOUBLE";
  const json = type === "BOOLEAN"
    ? String(["1", "t", "true"].includes(value.toLowerCase()))
    : isBare
    ? jsonNumber(value)
    : JSON.stringify(value);
  return template.replaceAll("{{value}}", () => json).replaceAll("{{text}}", () => value);
}

/** All its digits, where JSON can write it as it is. */
function jsonNumber(text: string): string {
  return /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? text : String(Number(text));
}
