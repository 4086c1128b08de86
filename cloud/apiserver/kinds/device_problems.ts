/** Problems of devices, as both sides name them, into field errors as the API server tells them. */
import type { DeviceProblem } from "../../../shared/devices/problem.ts";
import type { FieldError, FieldErrorReason } from "./field_error.ts";

const REASONS: Readonly<Record<DeviceProblem["reason"], [FieldErrorReason, string]>> = {
  required: ["FieldValueRequired", "Required value"],
  invalid: ["FieldValueInvalid", "Invalid value"],
  unsupported: ["FieldValueNotSupported", "Unsupported value"],
  duplicate: ["FieldValueDuplicate", "Duplicate value"],
  too_long: ["FieldValueTooLong", "Too long"],
  forbidden: ["FieldValueForbidden", "Forbidden"],
  not_found: ["FieldValueNotFound", "Not found"],
};

/** A request that is wrong in a thousand places is told of the first of them. */
const ERRORS_MAX = 50;

export function toFieldErrors(problems: readonly DeviceProblem[]): FieldError[] {
  return problems.slice(0, ERRORS_MAX).map(({ path, reason, detail, value }) => {
    const [kubeReason, head] = REASONS[reason];
    const shown = value === undefined ? "" : `: ${JSON.stringify(value)}`;
    const list = reason === "unsupported" ? "supported values: " : "";
    const tail = detail === "" ? "" : `: ${list}${detail}`;
    return { field: path, reason: kubeReason, message: `${head}${shown}${tail}` };
  });
}

/** `field: message`, for warnings. */
export function toText({ field, message }: FieldError): string {
  return `${field}: ${message}`;
}
