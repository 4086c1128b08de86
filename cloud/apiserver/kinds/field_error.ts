/**
 * One thing wrong with one field of an object, in the words of the Kubernetes API, and the Status
 * (HTTP 422, reason Invalid) made from a list of them. kubectl prints the causes, so `field` and
 * `message` are what the user sees.
 */
import type { StatusObject } from "../../../shared/k8s/types.ts";

export type FieldErrorReason =
  | "FieldValueRequired"
  | "FieldValueInvalid"
  | "FieldValueNotSupported"
  | "FieldValueDuplicate"
  | "FieldValueForbidden"
  | "FieldValueTooLong"
  | "FieldValueTooMany"
  | "FieldValueTypeInvalid"
  | "FieldValueNotFound";

export interface FieldError {
  /** Path as users know it: "spec.containers[0].name", "metadata.labels". */
  field: string;
  reason: FieldErrorReason;
  /** Without the field: `Invalid value: "x": must be …`. */
  message: string;
}

/** A value as it is quoted in a message: strings and keys in quotes, the rest as JSON. */
function quoted(value: unknown): string {
  if (value === undefined) return "null";
  return JSON.stringify(value);
}

export function required(field: string, detail = ""): FieldError {
  const message = detail === "" ? "Required value" : `Required value: ${detail}`;
  return { field, reason: "FieldValueRequired", message };
}

export function invalidValue(field: string, value: unknown, detail: string): FieldError {
  const message = `Invalid value: ${quoted(value)}: ${detail}`;
  return { field, reason: "FieldValueInvalid", message };
}

export function notSupported(
  field: string,
  value: unknown,
  supported: readonly string[],
): FieldError {
  const list = supported.map((item) => quoted(item)).join(", ");
  const message = `Unsupported value: ${quoted(value)}: supported values: ${list}`;
  return { field, reason: "FieldValueNotSupported", message };
}

export function duplicate(field: string, value: unknown): FieldError {
  return { field, reason: "FieldValueDuplicate", message: `Duplicate value: ${quoted(value)}` };
}

export function notFound(field: string, value: unknown): FieldError {
  return { field, reason: "FieldValueNotFound", message: `Not found: ${quoted(value)}` };
}

export function forbidden(field: string, detail: string): FieldError {
  return { field, reason: "FieldValueForbidden", message: `Forbidden: ${detail}` };
}

export function tooLong(field: string, bytesMax: number): FieldError {
  const message = `Too long: may not be more than ${bytesMax} bytes`;
  return { field, reason: "FieldValueTooLong", message };
}

/** `Pod "x" is invalid: spec.a: Required value`, several in brackets, each once. */
export function invalidMessage(kind: string, name: string, errors: readonly FieldError[]): string {
  const texts = [...new Set(errors.map((error) => `${error.field}: ${error.message}`))];
  const body = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  return `${kind} "${name}" is invalid: ${body}`;
}

/** The Status object of HTTP 422 for `errors` (at least one). */
export function invalidStatus(
  kind: { group: string; kind: string },
  name: string,
  errors: readonly FieldError[],
): StatusObject {
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: invalidMessage(kind.kind, name, errors),
    reason: "Invalid",
    details: {
      name,
      ...(kind.group === "" ? {} : { group: kind.group }),
      kind: kind.kind,
      causes: errors.map(({ reason, message, field }) => ({ reason, message, field })),
    },
    code: 422,
  };
}
