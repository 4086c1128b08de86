/**
 * Rules that hold for the metadata of every kind: names, labels, annotations, owners, finalizers;
 * what a create may bring and what an update may change. Server-owned fields (uid, timestamps,
 * generation, deletion) always come from the stored object.
 */
import { labelKeyProblem, labelValueProblem } from "../../../shared/k8s/selectors.ts";
import type { KubeObject, ObjectMeta } from "../../../shared/k8s/types.ts";
import { type FieldError, forbidden, invalidValue, required, tooLong } from "./field_error.ts";
import { dnsLabelProblem, type NameRule } from "./names.ts";

/** All keys and values of the annotations together. */
export const ANNOTATIONS_BYTES_MAX = 256 * 1024;

const STANDARD_FINALIZERS = ["kubernetes", "orphan", "foregroundDeletion"];

export interface MetadataRules {
  namespaced: boolean;
  nameRule: NameRule;
}

export function validateMetadata(meta: ObjectMeta, rules: MetadataRules): FieldError[] {
  const errors: FieldError[] = [];
  checkName(errors, meta, rules.nameRule);
  checkNamespace(errors, meta, rules.namespaced);
  checkLabels(errors, "metadata.labels", meta.labels);
  checkAnnotations(errors, "metadata.annotations", meta.annotations);
  for (const finalizer of meta.finalizers ?? []) {
    const problem = labelKeyProblem(finalizer);
    if (problem) errors.push(invalidValue("metadata.finalizers", finalizer, problem));
    else if (!finalizer.includes("/") && !STANDARD_FINALIZERS.includes(finalizer)) {
      const detail = "name is neither a standard finalizer name nor is it fully qualified";
      errors.push(invalidValue("metadata.finalizers", finalizer, detail));
    }
  }
  (meta.ownerReferences ?? []).forEach((owner, index) => {
    for (const key of ["apiVersion", "kind", "name", "uid"] as const) {
      const field = `metadata.ownerReferences[${index}].${key}`;
      if (!owner[key]) errors.push(invalidValue(field, "", `${key} must not be empty`));
    }
  });
  return errors;
}

function checkName(errors: FieldError[], meta: ObjectMeta, rule: NameRule): void {
  if (meta.generateName) {
    // What is appended is alphanumeric, so a trailing "-" or "." of the prefix is no mistake
    const problem = rule(`${meta.generateName}a`);
    if (problem) errors.push(invalidValue("metadata.generateName", meta.generateName, problem));
  }
  if (!meta.name) {
    errors.push(required("metadata.name", "name or generateName is required"));
    return;
  }
  const problem = rule(meta.name);
  if (problem) errors.push(invalidValue("metadata.name", meta.name, problem));
}

function checkNamespace(errors: FieldError[], meta: ObjectMeta, namespaced: boolean): void {
  if (!namespaced) {
    if (meta.namespace) {
      errors.push(forbidden("metadata.namespace", "not allowed on this type"));
    }
    return;
  }
  if (!meta.namespace) {
    errors.push(required("metadata.namespace"));
    return;
  }
  const problem = dnsLabelProblem(meta.namespace);
  if (problem) errors.push(invalidValue("metadata.namespace", meta.namespace, problem));
}

export function checkLabels(
  errors: FieldError[],
  field: string,
  labels: Readonly<Record<string, string>> | undefined,
): void {
  for (const [key, value] of Object.entries(labels ?? {})) {
    const keyProblem = labelKeyProblem(key);
    if (keyProblem) errors.push(invalidValue(field, key, keyProblem));
    const valueProblem = labelValueProblem(value);
    if (valueProblem) errors.push(invalidValue(field, value, valueProblem));
  }
}

export function checkAnnotations(
  errors: FieldError[],
  field: string,
  annotations: Readonly<Record<string, string>> | undefined,
): void {
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    const problem = labelKeyProblem(key.toLowerCase());
    if (problem) errors.push(invalidValue(field, key, problem));
    bytes += utf8Length(key) + utf8Length(value);
  }
  if (bytes > ANNOTATIONS_BYTES_MAX) errors.push(tooLong(field, ANNOTATIONS_BYTES_MAX));
}

const UTF8 = new TextEncoder();

/** Bytes of `text` in UTF-8. */
export function utf8Length(text: string): number {
  return UTF8.encode(text).length;
}

export function validateMetadataUpdate(meta: ObjectMeta, old: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  for (const key of ["name", "namespace", "uid"] as const) {
    if (meta[key] !== old[key]) {
      errors.push(invalidValue(`metadata.${key}`, meta[key] ?? "", "field is immutable"));
    }
  }
  if (old.deletionTimestamp) {
    const added = (meta.finalizers ?? []).filter((item) => !old.finalizers?.includes(item));
    if (added.length > 0) {
      const list = added.map((item) => JSON.stringify(item)).join(", ");
      errors.push(forbidden(
        "metadata.finalizers",
        "no new finalizers can be added if the object is being deleted, found new finalizers " +
          `[]string{${list}}`,
      ));
    }
  }
  return errors;
}

/** Metadata of a new object: nothing in it that only the server may say. */
export function metadataForCreate(meta: ObjectMeta, generation: number | undefined): ObjectMeta {
  const {
    uid: _uid,
    creationTimestamp: _created,
    deletionTimestamp: _deleted,
    deletionGracePeriodSeconds: _grace,
    generation: _generation,
    selfLink: _selfLink,
    ...rest
  } = meta as ObjectMeta & { selfLink?: string }; // the schema knows it, our type does not
  return generation === undefined ? rest : { ...rest, generation };
}

const SERVER_OWNED = [
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "generation",
] as const;

/**
 * Metadata of an updated object: the user's, with what the server owns from the stored one. name,
 * namespace and uid are taken from there only when missing, so that a change of them is refused
 * by validation instead of being lost.
 */
export function metadataForUpdate(object: KubeObject, old: KubeObject): ObjectMeta {
  const meta: ObjectMeta = { ...object.metadata };
  for (const key of SERVER_OWNED) {
    delete meta[key];
    // Assign through a record: the keys have different value types
    if (old.metadata[key] !== undefined) Object.assign(meta, { [key]: old.metadata[key] });
  }
  for (const key of ["name", "namespace", "uid"] as const) {
    const stored = old.metadata[key];
    if (!meta[key] && stored !== undefined) meta[key] = stored;
  }
  delete (meta as { selfLink?: string }).selfLink; // the schema knows it, our type does not
  return meta;
}
