/**
 * JSON values of the leaf types, checked and brought to the form the API server stores: canonical
 * quantities, UTC times, base64 without line breaks. Returns a LeafProblem instead of throwing; the
 * caller knows the path.
 */
import { cloneJson, jsonTypeOf } from "../../../shared/json/json.ts";
import {
  formatQuantity,
  QUANTITY_PROBLEM,
  tryParseQuantity,
} from "../../../shared/k8s/quantity.ts";
import type { ScalarType, SpecialType } from "./message_table.ts";

/** Wrong JSON type (`found` is what stands there) or an impossible value (`detail`). */
export type LeafProblem =
  | { kind: "type"; found: string; expected: string }
  | { kind: "value"; detail: string };

export type LeafResult = { ok: true; value: unknown } | { ok: false; problem: LeafProblem };

/** `value` is not null: null fields are dropped before this. */
export function readLeaf(type: ScalarType | SpecialType, value: unknown): LeafResult {
  switch (type) {
    case "string":
      return typeof value === "string" ? good(value) : wrongType(value, "string");
    case "bool":
      return typeof value === "boolean" ? good(value) : wrongType(value, "bool");
    case "int32":
      return readInteger(value, type, 2 ** 31);
    case "int64":
      return readInteger(value, type, 2 ** 63);
    case "double":
      return typeof value === "number" ? good(value) : wrongType(value, "float64");
    case "bytes":
      return readBytes(value);
    case "Quantity":
      return readQuantity(value);
    case "Time":
      return readTime(value, "v1.Time", 0);
    case "MicroTime":
      return readTime(value, "v1.MicroTime", 6);
    case "IntOrString":
      return typeof value === "string" ? good(value) : readInteger(value, "int32", 2 ** 31);
    case "FieldsV1":
    case "any":
      return good(cloneJson(value));
  }
}

/** What Go calls the type, for error messages. */
export function goTypeOfLeaf(type: string): string {
  const names: Record<string, string> = {
    bytes: "[]uint8",
    double: "float64",
    Quantity: "resource.Quantity",
    Time: "v1.Time",
    MicroTime: "v1.MicroTime",
    IntOrString: "intstr.IntOrString",
    FieldsV1: "v1.FieldsV1",
    any: "interface {}",
  };
  return names[type] ?? type;
}

function good(value: unknown): LeafResult {
  return { ok: true, value };
}

function wrongType(value: unknown, expected: string): LeafResult {
  return { ok: false, problem: { kind: "type", found: jsonTypeOf(value), expected } };
}

function impossible(detail: string): LeafResult {
  return { ok: false, problem: { kind: "value", detail } };
}

function readInteger(value: unknown, type: string, limit: number): LeafResult {
  if (typeof value !== "number") return wrongType(value, type);
  if (Number.isInteger(value) && value >= -limit && value < limit) return good(value);
  return { ok: false, problem: { kind: "type", found: `number ${value}`, expected: type } };
}

function readBytes(value: unknown): LeafResult {
  if (typeof value !== "string") return wrongType(value, "[]uint8");
  const text = value.replaceAll(/[\r\n]/g, "");
  const bad = text.search(/[^A-Za-z0-9+/=]/);
  if (bad >= 0) return impossible(`illegal base64 data at input byte ${bad}`);
  if (text.length % 4 === 0 && /^[^=]*={0,2}$/.test(text)) return good(text);
  const padding = text.indexOf("=");
  const at = padding >= 0 ? padding : text.length - (text.length % 4);
  return impossible(`illegal base64 data at input byte ${at}`);
}

function readQuantity(value: unknown): LeafResult {
  if (typeof value !== "string" && typeof value !== "number") {
    return wrongType(value, "resource.Quantity");
  }
  const quantity = tryParseQuantity(String(value));
  return quantity ? good(formatQuantity(quantity)) : impossible(QUANTITY_PROBLEM);
}

const RFC3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

function readTime(value: unknown, type: string, digits: number): LeafResult {
  if (typeof value !== "string") return wrongType(value, type);
  const ms = RFC3339.test(value) ? Date.parse(value) : NaN;
  if (Number.isNaN(ms)) {
    return impossible(
      `parsing time ${JSON.stringify(value)} as "2006-01-02T15:04:05Z07:00": not RFC 3339`,
    );
  }
  const fraction = (/\.(\d+)/.exec(value)?.[1] ?? "").padEnd(digits, "0").slice(0, digits);
  const seconds = new Date(ms).toISOString().slice(0, 19);
  return good(digits === 0 ? `${seconds}Z` : `${seconds}.${fraction}Z`);
}
