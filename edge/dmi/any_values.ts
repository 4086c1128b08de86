/**
 * Free-form configuration (`configData`, `anomalyDetection`) as the map of `Any` it is on the wire.
 * Pure.
 *
 * KubeEdge's mapper framework drops every Any that is not a String, Bool, Int32, Int64 or Float
 * wrapper, so nothing else is sent. A whole number is an Int64 (no digit lost; the framework writes
 * it as the same JSON as a Float). Any other number is a Float, as at the original: about seven
 * digits; who needs more writes a text. Numbers no Float can hold (1e300) are texts. Objects and
 * lists, for which the original drops the whole device, are texts of JSON; null is left out.
 * Keys are in order: equal configurations have equal bytes.
 */
import { create } from "@bufbuild/protobuf";
import {
  type Any,
  anyPack,
  BoolValueSchema,
  FloatValueSchema,
  Int64ValueSchema,
  StringValueSchema,
} from "@bufbuild/protobuf/wkt";
import { canonicalJson, type JsonObject } from "../../shared/json/json.ts";

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

export function toAnyMap(data: JsonObject | undefined): Record<string, Any> {
  const map: Record<string, Any> = Object.create(null); // "__proto__" is a key like any other
  for (const key of Object.keys(data ?? {}).sort()) {
    const any = toAny(data?.[key]);
    if (any) map[key.toWellFormed()] = any;
  }
  return map;
}

/** Undefined for null, which says nothing. */
export function toAny(value: unknown): Any | undefined {
  if (value === null || value === undefined) return undefined;
  if (typeof value === "boolean") {
    return anyPack(BoolValueSchema, create(BoolValueSchema, { value }));
  }
  if (typeof value === "number") return numberAny(value);
  if (typeof value === "bigint") return wholeAny(value) ?? textAny(String(value));
  return textAny(typeof value === "string" ? value : canonicalJson(value));
}

function numberAny(value: number): Any {
  if (Number.isInteger(value)) {
    const whole = wholeAny(BigInt(value));
    if (whole) return whole;
  }
  const single = Math.fround(value);
  if (!Number.isFinite(single) || (single === 0 && value !== 0)) return textAny(String(value));
  return anyPack(FloatValueSchema, create(FloatValueSchema, { value: single }));
}

function wholeAny(value: bigint): Any | undefined {
  if (value < INT64_MIN || value > INT64_MAX) return undefined;
  return anyPack(Int64ValueSchema, create(Int64ValueSchema, { value }));
}

function textAny(value: string): Any {
  // protobuf takes no lone surrogates
  return anyPack(StringValueSchema, create(StringValueSchema, { value: value.toWellFormed() }));
}
