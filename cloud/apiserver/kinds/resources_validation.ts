/**
 * Requests and limits: known resource names, quantities that are not negative, whole numbers for
 * what cannot be divided, and no request above its limit.
 */
import { labelKeyProblem } from "../../../shared/k8s/selectors.ts";
import { compareQuantity, tryParseQuantity } from "../../../shared/k8s/quantity.ts";
import type { ResourceRequirements } from "../../../shared/k8s/types.ts";
import { NOT_NEGATIVE } from "./checks.ts";
import { type FieldError, invalidValue, required } from "./field_error.ts";

const STANDARD = ["cpu", "memory", "ephemeral-storage"];

export function checkResources(
  errors: FieldError[],
  field: string,
  resources: ResourceRequirements | undefined,
): void {
  const { limits = {}, requests = {} } = resources ?? {};
  checkQuantities(errors, `${field}.limits`, limits);
  checkQuantities(errors, `${field}.requests`, requests);
  for (const [name, request] of Object.entries(requests)) {
    const limit = limits[name];
    if (limit === undefined) {
      if (isExtended(name)) {
        errors.push(
          required(`${field}.limits`, "Limit must be set for non overcommitable resources"),
        );
      }
      continue;
    }
    checkAgainstLimit(errors, `${field}.requests`, { name, request, limit });
  }
}

interface Pair {
  name: string;
  request: string;
  limit: string;
}

function checkAgainstLimit(errors: FieldError[], field: string, pair: Pair): void {
  const { name, request, limit } = pair;
  const requested = tryParseQuantity(request);
  const limited = tryParseQuantity(limit);
  if (!requested || !limited) return;
  const order = compareQuantity(requested, limited);
  if (isExtended(name) && order !== 0) {
    const detail = `must be equal to ${name} limit of ${limit}`;
    errors.push(invalidValue(field, request, detail));
  } else if (order > 0) {
    const detail = `must be less than or equal to ${name} limit of ${limit}`;
    errors.push(invalidValue(field, request, detail));
  }
}

/** Names and values of a resource list; also for a node's capacity. */
export function checkQuantities(
  errors: FieldError[],
  field: string,
  quantities: Readonly<Record<string, string>>,
): void {
  for (const [name, text] of Object.entries(quantities)) {
    const at = `${field}[${name}]`;
    const problem = labelKeyProblem(name);
    if (problem) errors.push(invalidValue(field, name, problem));
    else if (!name.includes("/") && !STANDARD.includes(name) && !name.startsWith("hugepages-")) {
      errors.push(invalidValue(at, name, "must be a standard resource for containers"));
    }
    checkQuantity(errors, at, text, isExtended(name));
  }
}

/** A quantity that is not negative, and whole where `whole`. */
export function checkQuantity(
  errors: FieldError[],
  field: string,
  text: string,
  whole = false,
): void {
  const quantity = tryParseQuantity(text);
  if (!quantity || quantity.nanos < 0n) errors.push(invalidValue(field, text, NOT_NEGATIVE));
  else if (whole && quantity.nanos % 1_000_000_000n !== 0n) {
    errors.push(invalidValue(field, text, "must be an integer"));
  }
}

/** Counted things with a qualified name: devices. They are not shared, so request equals limit. */
function isExtended(name: string): boolean {
  return name.includes("/") && !name.startsWith("kubernetes.io/");
}
