/** What ConfigMap and Secret share: the bound on their data and the rule of `immutable`. */
import { deepEqual } from "../../../shared/json/json.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { type FieldError, forbidden } from "./field_error.ts";

/** 1 MiB, the bound users of Kubernetes know. */
export const DATA_BYTES_MAX = 1_048_576;

export function checkImmutable(
  object: KubeObject,
  old: KubeObject,
  fields: readonly string[],
): FieldError[] {
  if (old["immutable"] !== true) return [];
  const detail = "field is immutable when `immutable` is set";
  const changed = fields.filter((field) => !deepEqual(object[field] ?? {}, old[field] ?? {}));
  if (object["immutable"] !== true) changed.unshift("immutable");
  return changed.map((field) => forbidden(field, detail));
}
