/**
 * Plain JSON values: compare, copy, and write in one canonical form (sorted keys, no white space),
 * so that equal values have equal text and equal digests. Nothing here knows Kubernetes.
 * Depth is bounded: a value nested deeper than JSON_DEPTH_MAX is refused instead of exhausting the
 * stack.
 */
import { AppError } from "../errors.ts";

export type JsonObject = { [key: string]: unknown };

/** Deepest nesting accepted; Kubernetes objects stay far below (a schema in a CRD is the worst). */
export const JSON_DEPTH_MAX = 1_000;

/** True for a plain object: not null, not an array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** "object", "array", "null", "string", "number", "bool": the name JSON gives the value's type. */
export function jsonTypeOf(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value === "boolean" ? "bool" : typeof value;
}

/** Deep equality of JSON values; a key holding `undefined` counts as absent. */
export function deepEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => deepEqual(item, b[index]));
  }
  if (!isJsonObject(a) || !isJsonObject(b)) return false;
  const keysOfA = definedKeys(a);
  if (keysOfA.length !== definedKeys(b).length) return false;
  return keysOfA.every((key) => b[key] !== undefined && deepEqual(a[key], b[key]));
}

function definedKeys(object: JsonObject): string[] {
  return Object.keys(object).filter((key) => object[key] !== undefined);
}

/** A deep copy that shares nothing with `value`. Keys holding `undefined` are left out. */
export function cloneJson<T>(value: T): T {
  return copy(value, 0) as T; // copy() keeps the shape it is given
}

function copy(value: unknown, depth: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  refuseDepth(depth);
  if (Array.isArray(value)) return value.map((item) => copy(item, depth + 1));
  const result: JsonObject = {};
  for (const [key, item] of Object.entries(value)) {
    if (item !== undefined) setOwn(result, key, copy(item, depth + 1));
  }
  return result;
}

/** JSON text with sorted keys and no white space: equal values give equal text. */
export function canonicalJson(value: unknown): string {
  return write(value, 0);
}

function write(value: unknown, depth: number): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value ?? null);
  refuseDepth(depth);
  if (Array.isArray(value)) return `[${value.map((item) => write(item, depth + 1)).join(",")}]`;
  if (!isJsonObject(value)) return "null";
  const parts = definedKeys(value).sort()
    .map((key) => `${JSON.stringify(key)}:${write(value[key], depth + 1)}`);
  return `{${parts.join(",")}}`;
}

/** Sets an own property even for names like "__proto__", which assignment would swallow. */
export function setOwn(object: JsonObject, key: string, value: unknown): void {
  if (key === "__proto__") {
    Object.defineProperty(object, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  } else {
    object[key] = value;
  }
}

function refuseDepth(depth: number): void {
  if (depth < JSON_DEPTH_MAX) return;
  throw new AppError("invalid", `Cannot read JSON: nesting must be <= ${JSON_DEPTH_MAX} levels`);
}
