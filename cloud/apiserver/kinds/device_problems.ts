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

const ADVICE_MAX = 5;

/** Without what is no more than advice. */
export function toFieldErrors(problems: readonly DeviceProblem[]): FieldError[] {
  return problems.filter(({ isAdvice }) => !isAdvice).slice(0, ERRORS_MAX).map(toFieldError);
}

export function toFieldError({ path, reason, detail, value }: DeviceProblem): FieldError {
  const [kubeReason, head] = REASONS[reason];
  const shown = value === undefined ? "" : `: ${JSON.stringify(value)}`;
  const list = reason === "unsupported" ? "supported values: " : "";
  const tail = detail === "" ? "" : `: ${list}${detail}`;
  return { field: path, reason: kubeReason, message: `${head}${shown}${tail}` };
}

/** What is taken, and is worth a word: for warnings. */
export function toAdvice(problems: readonly DeviceProblem[]): string[] {
  const advice = problems.filter(({ isAdvice }) => isAdvice);
  const named = advice.slice(0, ADVICE_MAX).map((problem) => toText(toFieldError(problem)));
  return advice.length > named.length
    ? [...named, `and ${advice.length - named.length} more of this kind`]
    : named;
}

/** `field: message`, for warnings. */
export function toText({ field, message }: FieldError): string {
  return `${field}: ${message}`;
}
