/**
 * What may change in a pod once it exists: images, a shorter deadline, more tolerations, and a
 * negative grace period to 1. Everything else of the spec is fixed, because the node acts on it
 * once.
 */
import { deepEqual, isJsonObject } from "../../../shared/json/json.ts";
import type { Container, Pod, PodSpec, Toleration } from "../../../shared/k8s/types.ts";
import { type FieldError, forbidden, invalidValue } from "./field_error.ts";

const SPEC_FIXED = "pod updates may not change fields other than `spec.containers[*].image`," +
  "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only " +
  "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set " +
  "to 1 if it was previously negative)";

export function validatePodUpdate(pod: Pod, old: Pod): FieldError[] {
  const errors: FieldError[] = [];
  for (const key of ["containers", "initContainers"] as const) {
    if ((pod.spec[key]?.length ?? 0) !== (old.spec[key]?.length ?? 0)) {
      errors.push(forbidden(`spec.${key}`, "pod updates may not add or remove containers"));
    }
  }
  if (errors.length > 0) return errors;
  checkDeadline(errors, pod.spec.activeDeadlineSeconds, old.spec.activeDeadlineSeconds);
  checkTolerations(errors, pod.spec.tolerations ?? [], old.spec.tolerations ?? []);
  const changed = changedPaths(withAllowed(pod.spec, old.spec), old.spec, "spec");
  if (changed.length > 0) {
    errors.push(forbidden("spec", `${SPEC_FIXED}; changed: ${changed.join(", ")}`));
  }
  return errors;
}

/** The new spec with everything that may change put back, so that what differs is a mistake. */
function withAllowed(spec: PodSpec, old: PodSpec): PodSpec {
  const result: PodSpec = { ...spec, containers: withImages(spec.containers, old.containers) };
  if (spec.initContainers) {
    result.initContainers = withImages(spec.initContainers, old.initContainers ?? []);
  }
  restore(result, old, "activeDeadlineSeconds");
  restore(result, old, "tolerations");
  const wasNegative = (old.terminationGracePeriodSeconds ?? 0) < 0;
  if (wasNegative && spec.terminationGracePeriodSeconds === 1) {
    restore(result, old, "terminationGracePeriodSeconds");
  }
  return result;
}

function withImages(containers: readonly Container[], old: readonly Container[]): Container[] {
  return containers.map((container, index) => {
    const image = old[index]?.image;
    return image === undefined ? container : { ...container, image };
  });
}

function restore<K extends keyof PodSpec>(spec: PodSpec, old: PodSpec, key: K): void {
  if (old[key] === undefined) delete spec[key];
  else spec[key] = old[key];
}

function checkDeadline(
  errors: FieldError[],
  next: number | undefined,
  old: number | undefined,
): void {
  if (old === undefined || next === old) return;
  const field = "spec.activeDeadlineSeconds";
  if (next === undefined) {
    const detail = "must not update from a positive integer to nil value";
    errors.push(invalidValue(field, null, detail));
  } else if (next > old) {
    errors.push(invalidValue(field, next, "must be less than or equal to previous value"));
  }
}

function checkTolerations(
  errors: FieldError[],
  next: readonly Toleration[],
  old: readonly Toleration[],
): void {
  const kept = old.every((toleration) => next.some((other) => sameButSeconds(toleration, other)));
  if (kept) return;
  const detail = "existing toleration can not be modified except its tolerationSeconds";
  errors.push(forbidden("spec.tolerations", detail));
}

function sameButSeconds(a: Toleration, b: Toleration): boolean {
  const { tolerationSeconds: _a, ...restOfA } = a;
  const { tolerationSeconds: _b, ...restOfB } = b;
  return deepEqual(restOfA, restOfB);
}

/** Paths where two values differ, as deep as both are objects or lists of one length; at most 8. */
function changedPaths(next: unknown, old: unknown, path: string): string[] {
  if (deepEqual(next, old)) return [];
  if (Array.isArray(next) && Array.isArray(old) && next.length === old.length) {
    return next.flatMap((item, index) => changedPaths(item, old[index], `${path}[${index}]`))
      .slice(0, 8);
  }
  if (!isJsonObject(next) || !isJsonObject(old)) return [path];
  return [...new Set([...Object.keys(next), ...Object.keys(old)])]
    .flatMap((key) => changedPaths(next[key], old[key], `${path}.${key}`)).slice(0, 8);
}
