/**
 * PersistentVolume, PersistentVolumeClaim and StorageClass. What binds them is a controller
 * (controllers/volume_binder.ts); here stand their rules: one source a volume, what may change once
 * bound, and the finalizers that keep both while they are in use.
 */
import { cloneJson, deepEqual, isJsonObject, type JsonObject } from "../../../shared/json/json.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { checkOneOf, checkOptionalOneOf } from "./checks.ts";
import { defineKind } from "./define_kind.ts";
import { type FieldError, forbidden, invalidValue, required } from "./field_error.ts";
import type { KindInfo, Verb } from "./kind_info.ts";
import { checkQuantity } from "./resources_validation.ts";

const ACCESS_MODES = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES = ["Block", "Filesystem"];
const RECLAIM = ["Delete", "Recycle", "Retain"];
/** Drivers that have a place in a node here; others are stored and never mounted. */
const SOURCES = ["csi", "hostPath", "local", "nfs"];
const STATUS_VERBS: readonly Verb[] = ["get", "patch", "update"];
/** The older way to name a class. */
const CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class";

export const PERSISTENT_VOLUME: KindInfo = defineKind({
  kind: "PersistentVolume",
  plural: "persistentvolumes",
  shortNames: ["pv"],
  namespaced: false,
  hasStatus: true,
  subresources: [statusOf("PersistentVolume")],
  default: (object) => {
    const copy = cloneJson(object);
    const spec = specOf(copy);
    copy["spec"] = spec;
    spec["persistentVolumeReclaimPolicy"] ??= "Retain";
    spec["volumeMode"] ??= "Filesystem";
    if (isJsonObject(spec["hostPath"])) spec["hostPath"]["type"] ??= "";
    return copy;
  },
  prepareCreate: (object) => ({
    ...held(object, "kubernetes.io/pv-protection"),
    status: { phase: "Pending" },
  }),
  validate: validateVolume,
  validateUpdate: (object, old) =>
    SOURCES.filter((source) => !deepEqual(specOf(object)[source], specOf(old)[source]))
      .map(() => forbidden("spec.persistentvolumesource", "is immutable after creation")),
});

export const PERSISTENT_VOLUME_CLAIM: KindInfo = defineKind({
  kind: "PersistentVolumeClaim",
  plural: "persistentvolumeclaims",
  shortNames: ["pvc"],
  hasStatus: true,
  subresources: [statusOf("PersistentVolumeClaim")],
  default: (object) => {
    const copy = cloneJson(object);
    const spec = specOf(copy);
    copy["spec"] = spec;
    spec["volumeMode"] ??= "Filesystem";
    const older = object.metadata.annotations?.[CLASS_ANNOTATION];
    if (older !== undefined) spec["storageClassName"] ??= older;
    return copy;
  },
  prepareCreate: (object) => ({
    ...held(object, "kubernetes.io/pvc-protection"),
    status: { phase: "Pending" },
  }),
  validate: validateClaim,
  validateUpdate: (object, old) => {
    const fixed = (claim: KubeObject) => {
      const { resources: _, volumeName, ...rest } = specOf(claim);
      return specOf(old)["volumeName"] ? { ...rest, volumeName } : rest;
    };
    if (deepEqual(fixed(object), fixed(old))) return [];
    const detail = "spec is immutable after creation except resources.requests and volumeName " +
      "of an unbound claim";
    return [forbidden("spec", detail)];
  },
});

export const STORAGE_CLASS: KindInfo = defineKind({
  group: "storage.k8s.io",
  kind: "StorageClass",
  plural: "storageclasses",
  shortNames: ["sc"],
  namespaced: false,
  default: (object) => ({
    ...object,
    reclaimPolicy: object["reclaimPolicy"] ?? "Delete",
    volumeBindingMode: object["volumeBindingMode"] ?? "Immediate",
  }),
  validate: (object) => {
    const errors: FieldError[] = [];
    if (!object["provisioner"]) errors.push(required("provisioner"));
    const modes = ["Immediate", "WaitForFirstConsumer"];
    checkOneOf(errors, "volumeBindingMode", text(object["volumeBindingMode"]), modes);
    return errors;
  },
});

function statusOf(kind: string) {
  return {
    name: "status",
    verbs: STATUS_VERBS,
    responseKind: { group: "", version: "v1", kind },
  };
}

/** Kept by a finalizer until nothing uses it. */
function held(object: KubeObject, finalizer: string): KubeObject {
  const others = (object.metadata.finalizers ?? []).filter((one) => one !== finalizer);
  return { ...object, metadata: { ...object.metadata, finalizers: [...others, finalizer] } };
}

function validateVolume(object: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  const spec = specOf(object);
  const capacity = isJsonObject(spec["capacity"]) ? spec["capacity"] : {};
  if (capacity["storage"] === undefined) errors.push(required("spec.capacity[storage]"));
  else checkQuantity(errors, "spec.capacity[storage]", String(capacity["storage"]));
  checkAccessModes(errors, spec);
  checkOptionalOneOf(
    errors,
    "spec.persistentVolumeReclaimPolicy",
    text(spec["persistentVolumeReclaimPolicy"]),
    RECLAIM,
  );
  checkOptionalOneOf(errors, "spec.volumeMode", text(spec["volumeMode"]), VOLUME_MODES);
  const sources = SOURCES.filter((source) => isJsonObject(spec[source]));
  if (sources.length === 0) {
    errors.push(required("spec", `must specify a volume type: ${SOURCES.join(", ")}`));
  }
  for (const extra of sources.slice(1)) {
    errors.push(forbidden(`spec.${extra}`, "may not specify more than 1 volume type"));
  }
  for (const source of ["hostPath", "local", "nfs"]) checkPath(errors, source, spec[source]);
  const { nodeAffinity, nfs } = spec;
  if (isJsonObject(nfs) && !nfs["server"]) errors.push(required("spec.nfs.server"));
  const affinity = isJsonObject(nodeAffinity) ? nodeAffinity["required"] : undefined;
  if (isJsonObject(spec["local"]) && !isJsonObject(affinity)) {
    errors.push(required("spec.nodeAffinity", "Local volume requires node affinity"));
  }
  return errors;
}

function checkPath(errors: FieldError[], source: string, value: unknown): void {
  if (!isJsonObject(value)) return;
  const path = text(value["path"]) ?? "";
  if (path === "") errors.push(required(`spec.${source}.path`));
  else if (path.split("/").includes("..")) {
    errors.push(invalidValue(`spec.${source}.path`, path, "must not contain '..'"));
  } else if (!path.startsWith("/")) {
    errors.push(invalidValue(`spec.${source}.path`, path, "must be an absolute path"));
  }
}

function validateClaim(object: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  const spec = specOf(object);
  checkAccessModes(errors, spec);
  checkOptionalOneOf(errors, "spec.volumeMode", text(spec["volumeMode"]), VOLUME_MODES);
  const resources = isJsonObject(spec["resources"]) ? spec["resources"] : {};
  const requests = isJsonObject(resources["requests"]) ? resources["requests"] : {};
  const field = "spec.resources.requests[storage]";
  if (requests["storage"] === undefined) errors.push(required(field));
  else checkQuantity(errors, field, String(requests["storage"]));
  return errors;
}

function checkAccessModes(errors: FieldError[], spec: JsonObject): void {
  const modes = Array.isArray(spec["accessModes"]) ? spec["accessModes"] : [];
  if (modes.length === 0) {
    errors.push(required("spec.accessModes", "at least 1 access mode is required"));
  }
  modes.forEach((mode, index) =>
    checkOneOf(errors, `spec.accessModes[${index}]`, text(mode), ACCESS_MODES)
  );
}

function specOf(object: KubeObject): JsonObject {
  return isJsonObject(object["spec"]) ? object["spec"] : {};
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
