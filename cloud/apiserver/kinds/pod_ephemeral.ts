/**
 * Ephemeral containers of a pod: what a write to pods/ephemeralcontainers may change, and the rules
 * of such a container. They are only ever added: the node runs each once, whatever comes of it.
 */
import { deepEqual } from "../../../shared/json/json.ts";
import type { EphemeralContainer, Pod } from "../../../shared/k8s/types.ts";
import { checkContainer, type ContainerContext } from "./container_validation.ts";
import { type FieldError, forbidden, notFound } from "./field_error.ts";
import { MIRROR_ANNOTATION } from "../../../shared/k8s/mirror.ts";

/** What promises a place, a port or a life of its own. */
const REFUSED = [
  "ports",
  "livenessProbe",
  "readinessProbe",
  "startupProbe",
  "lifecycle",
  "restartPolicy",
  "restartPolicyRules",
  "resizePolicy",
] as const;
const REFUSED_DETAIL = "cannot be set for an Ephemeral Container";

/** The old pod with the new list of ephemeral containers. */
export function withEphemeral(pod: Pod, old: Pod): Pod {
  const { ephemeralContainers } = pod.spec;
  const { ephemeralContainers: before, ...spec } = old.spec;
  const changed = !deepEqual(ephemeralContainers ?? [], before ?? []);
  const metadata = changed
    ? { ...old.metadata, generation: (old.metadata.generation ?? 0) + 1 }
    : old.metadata;
  return {
    ...old,
    metadata,
    spec: ephemeralContainers ? { ...spec, ephemeralContainers } : spec,
  };
}

export function validateEphemeralUpdate(pod: Pod, old: Pod): FieldError[] {
  const errors: FieldError[] = [];
  const field = "spec.ephemeralContainers";
  if (pod.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined) {
    return [forbidden(field, "ephemeral containers may not be added to a static pod")];
  }
  checkAll(errors, pod);
  const next = pod.spec.ephemeralContainers ?? [];
  for (const before of old.spec.ephemeralContainers ?? []) {
    const now = next.find(({ name }) => name === before.name);
    if (!now) {
      errors.push(
        forbidden(field, `existing ephemeral containers "${before.name}" may not be removed`),
      );
    } else if (!deepEqual(now, before)) {
      errors.push(
        forbidden(field, `existing ephemeral containers "${before.name}" may not be changed`),
      );
    }
  }
  return errors;
}

function checkAll(errors: FieldError[], { spec }: Pod): void {
  const others = [...spec.initContainers ?? [], ...spec.containers].map(({ name }) => name);
  const context: ContainerContext = {
    volumes: new Set((spec.volumes ?? []).map(({ name }) => name)),
    names: new Set(others),
    hostNetwork: spec.hostNetwork === true,
  };
  (spec.ephemeralContainers ?? []).forEach((container, index) => {
    const field = `spec.ephemeralContainers[${index}]`;
    const refused = refusedFields(field, container);
    errors.push(...refused);
    if (refused.length === 0) checkContainer(errors, field, container, context);
    const target = container.targetContainerName;
    if (target && !others.includes(target)) {
      errors.push(notFound(`${field}.targetContainerName`, target));
    }
  });
}

function refusedFields(field: string, container: EphemeralContainer): FieldError[] {
  const errors: FieldError[] = REFUSED
    .filter((key) => !isEmpty((container as unknown as Record<string, unknown>)[key])) // by name
    .map((key) => forbidden(`${field}.${key}`, REFUSED_DETAIL));
  const { limits, requests } = container.resources ?? {};
  if (!isEmpty(limits) || !isEmpty(requests)) {
    errors.push(forbidden(`${field}.resources`, REFUSED_DETAIL));
  }
  container.volumeMounts?.forEach((mount, index) => {
    for (const key of ["subPath", "subPathExpr"] as const) {
      if (mount[key]) {
        errors.push(forbidden(`${field}.volumeMounts[${index}].${key}`, REFUSED_DETAIL));
      }
    }
  });
  return errors;
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && Object.keys(value).length === 0;
}
