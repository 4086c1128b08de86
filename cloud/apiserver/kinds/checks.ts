/** Small checks that many validations share. Each appends what it finds to `errors`. */
import { type FieldError, invalidValue, notSupported, required } from "./field_error.ts";
import type { NameRule } from "./names.ts";

export const NOT_NEGATIVE = "must be greater than or equal to 0";

/** A value out of a closed list; empty is an error of its own. */
export function checkOneOf(
  errors: FieldError[],
  field: string,
  value: string | undefined,
  supported: readonly string[],
): void {
  if (!value) errors.push(required(field));
  else if (!supported.includes(value)) errors.push(notSupported(field, value, supported));
}

/** As checkOneOf(), but absent (or empty) is fine. */
export function checkOptionalOneOf(
  errors: FieldError[],
  field: string,
  value: string | undefined,
  supported: readonly string[],
): void {
  if (value) checkOneOf(errors, field, value, supported);
}

/** Required, and by the rule. */
export function checkName(
  errors: FieldError[],
  field: string,
  value: string | undefined,
  rule: NameRule,
): void {
  if (!value) {
    errors.push(required(field));
    return;
  }
  const problem = rule(value);
  if (problem) errors.push(invalidValue(field, value, problem));
}

/** `value`, where present, must be >= 0. */
export function checkNotNegative(
  errors: FieldError[],
  field: string,
  value: number | undefined,
): void {
  if (value !== undefined && value < 0) errors.push(invalidValue(field, value, NOT_NEGATIVE));
}

/** `value`, where present, must lie between the bounds. */
export function checkRange(
  errors: FieldError[],
  field: string,
  value: number | undefined,
  bounds: readonly [min: number, max: number],
): void {
  if (value === undefined || (value >= bounds[0] && value <= bounds[1])) return;
  const detail = `must be between ${bounds[0]} and ${bounds[1]}, inclusive`;
  errors.push(invalidValue(field, value, detail));
}

export const PORT_RANGE = [1, 65_535] as const;
/** User and group ids, and seconds of a deadline. */
export const INT31_RANGE = [0, 2_147_483_647] as const;

/** A permission mode where present: 0 to 0777. */
export function checkFileMode(
  errors: FieldError[],
  field: string,
  mode: number | undefined,
): void {
  if (mode === undefined || (mode >= 0 && mode <= 0o777)) return;
  const detail = "must be a number between 0 and 0777 (octal), both inclusive";
  errors.push(invalidValue(field, mode, detail));
}
