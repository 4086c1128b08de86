/**
 * Builds a KindInfo from the little that differs between kinds: names, rules, hooks. What is the
 * same everywhere (metadata rules, ownership of spec and status, generation) lives here once.
 */
import { deepEqual } from "../../../shared/json/json.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import type { FieldError } from "./field_error.ts";
import type { KindInfo, KindView, SubresourceInfo, Verb } from "./kind_info.ts";
import {
  metadataForCreate,
  metadataForUpdate,
  validateMetadata,
  validateMetadataUpdate,
} from "./metadata.ts";
import { dnsSubdomainProblem, type NameRule } from "./names.ts";

export const ALL_VERBS: readonly Verb[] = [
  "create",
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "update",
  "watch",
];

export interface KindDefinition {
  group?: string;
  version?: string;
  kind: string;
  plural: string;
  shortNames?: readonly string[];
  categories?: readonly string[];
  /** Default true. */
  namespaced?: boolean;
  /** Default: all. */
  verbs?: readonly Verb[];
  /** Name of the message; default: the kind. */
  schema?: string;
  nameRule?: NameRule;
  hasStatus?: boolean;
  /** Fields beside `metadata` and `status` whose change raises `generation`. Default: none. */
  generationFields?: readonly string[];
  createOnUpdate?: boolean;
  subresources?: readonly SubresourceInfo[];
  /** Selectable fields beside the two of metadata, with how to read them. */
  fields?: Readonly<Record<string, (object: KubeObject) => unknown>>;
  default?(object: KubeObject): KubeObject;
  /** Runs after the general preparation. */
  prepareCreate?(object: KubeObject): KubeObject;
  /** Replaces the general rule for the subresources it returns an object for. */
  prepareUpdate?(object: KubeObject, old: KubeObject, subresource: string): KubeObject | undefined;
  /** Beside metadata; for creates and for updates of the main resource. */
  validate?(object: KubeObject): FieldError[];
  validateCreate?(object: KubeObject): FieldError[];
  validateUpdate?(object: KubeObject, old: KubeObject): FieldError[];
  review?: NonNullable<KindInfo["review"]>;
  warnDelete?: NonNullable<KindInfo["warnDelete"]>;
  view?: KindView;
  /** Of a write to a subresource. */
  validateSubresource?(object: KubeObject, old: KubeObject, subresource: string): FieldError[];
}

export function defineKind(definition: KindDefinition): KindInfo {
  const namespaced = definition.namespaced ?? true;
  const rules = { namespaced, nameRule: definition.nameRule ?? dnsSubdomainProblem };
  const fields = definition.fields ?? {};
  return {
    group: definition.group ?? "",
    version: definition.version ?? "v1",
    kind: definition.kind,
    plural: definition.plural,
    singular: definition.kind.toLowerCase(),
    shortNames: definition.shortNames ?? [],
    categories: definition.categories ?? [],
    namespaced,
    verbs: definition.verbs ?? ALL_VERBS,
    hasStatus: definition.hasStatus ?? false,
    subresources: definition.subresources ?? [],
    schema: definition.schema ?? definition.kind,
    selectableFields: ["metadata.name", "metadata.namespace", ...Object.keys(fields)],
    createOnUpdate: definition.createOnUpdate ?? false,
    ...(definition.review ? { review: definition.review } : {}),
    ...(definition.warnDelete ? { warnDelete: definition.warnDelete } : {}),
    ...(definition.view ? { view: definition.view } : {}),
    fields: (object) => readFields(object, fields),
    default: (object) => definition.default?.(object) ?? object,
    prepareCreate: (object) => prepareCreate(definition, object),
    prepareUpdate: (object, old, subresource) =>
      definition.prepareUpdate?.(object, old, subresource) ??
        prepareUpdate(definition, { object, old, subresource }),
    validateCreate: (object) => [
      ...validateMetadata(object.metadata, rules),
      ...(definition.validate?.(object) ?? []),
      ...(definition.validateCreate?.(object) ?? []),
    ],
    validateUpdate: (object, old, subresource) => [
      ...validateMetadataUpdate(object.metadata, old.metadata),
      ...validateMetadata(object.metadata, rules),
      ...(subresource === "" ? definition.validate?.(object) ?? [] : []),
      ...(subresource === ""
        ? definition.validateUpdate?.(object, old) ?? []
        : definition.validateSubresource?.(object, old, subresource) ?? []),
    ],
  };
}

function readFields(
  object: KubeObject,
  fields: Readonly<Record<string, (object: KubeObject) => unknown>>,
): Record<string, string> {
  const values: Record<string, string> = {
    "metadata.name": object.metadata.name ?? "",
    "metadata.namespace": object.metadata.namespace ?? "",
  };
  for (const [name, read] of Object.entries(fields)) {
    const value = read(object);
    values[name] = value === undefined || value === null ? "" : String(value);
  }
  return values;
}

function prepareCreate(definition: KindDefinition, object: KubeObject): KubeObject {
  const generation = definition.generationFields ? 1 : undefined;
  const prepared = { ...object, metadata: metadataForCreate(object.metadata, generation) };
  return definition.prepareCreate?.(prepared) ?? prepared;
}

interface Update {
  object: KubeObject;
  old: KubeObject;
  subresource: string;
}

function prepareUpdate(definition: KindDefinition, update: Update): KubeObject {
  const { object, old, subresource } = update;
  const metadata = metadataForUpdate(object, old);
  if (subresource === "status") {
    for (const key of ["ownerReferences", "finalizers"] as const) {
      delete metadata[key];
      if (old.metadata[key]) Object.assign(metadata, { [key]: old.metadata[key] });
    }
    return withStatus({ ...old, metadata }, object["status"]);
  }
  const next = definition.hasStatus
    ? withStatus({ ...object, metadata }, old["status"])
    : { ...object, metadata };
  const fields = definition.generationFields;
  if (fields?.some((field) => !deepEqual(next[field], old[field]))) {
    metadata.generation = (old.metadata.generation ?? 0) + 1;
  }
  return next;
}

function withStatus(object: KubeObject, status: unknown): KubeObject {
  const { status: _dropped, ...rest } = object;
  return status === undefined ? rest : { ...rest, status };
}
