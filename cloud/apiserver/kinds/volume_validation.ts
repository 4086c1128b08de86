/**
 * Volumes of a pod: names, exactly one source, and the sources the edge mounts in detail. Sources
 * it cannot mount are accepted as they stand; the node reports them on the pod.
 */
import { isJsonObject, type JsonObject } from "../../../shared/json/json.ts";
import { checkFileMode, checkName, checkOptionalOneOf } from "./checks.ts";
import { checkFieldPath } from "./env_validation.ts";
import { duplicate, type FieldError, forbidden, invalidValue, required } from "./field_error.ts";
import { dnsLabelProblem, dnsSubdomainProblem, localPathProblem } from "./names.ts";
import { checkQuantity } from "./resources_validation.ts";

const HOST_PATH_TYPES = [
  "BlockDevice",
  "CharDevice",
  "Directory",
  "DirectoryOrCreate",
  "File",
  "FileOrCreate",
  "Socket",
];
const DOWNWARD_PATHS = [
  "metadata.annotations",
  "metadata.labels",
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
];

/** Checks `volumes` and returns their names. */
export function checkVolumes(
  errors: FieldError[],
  field: string,
  volumes: readonly JsonObject[],
): Set<string> {
  const names = new Set<string>();
  volumes.forEach((volume, index) => {
    const at = `${field}[${index}]`;
    const name = textOf(volume["name"]);
    checkName(errors, `${at}.name`, name, dnsLabelProblem);
    if (name && names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name);
    const sources = Object.keys(volume).filter((key) => key !== "name");
    if (sources.length === 0) errors.push(required(at, "must specify a volume type"));
    for (const extra of sources.slice(1)) {
      errors.push(forbidden(`${at}.${extra}`, "may not specify more than 1 volume type"));
    }
    const source = sources[0] === undefined ? undefined : volume[sources[0]];
    if (isJsonObject(source)) checkSource(errors, `${at}.${sources[0]}`, sources[0]!, source);
  });
  return names;
}

function checkSource(errors: FieldError[], field: string, kind: string, source: JsonObject): void {
  checkFileMode(errors, `${field}.defaultMode`, numberOf(source["defaultMode"]));
  switch (kind) {
    case "hostPath":
      return checkHostPath(errors, field, source);
    case "emptyDir":
      if (source["sizeLimit"] !== undefined) {
        checkQuantity(errors, `${field}.sizeLimit`, textOf(source["sizeLimit"]));
      }
      return;
    case "configMap":
      checkName(errors, `${field}.name`, textOf(source["name"]), dnsSubdomainProblem);
      return checkItems(errors, `${field}.items`, source["items"]);
    case "secret":
      checkName(errors, `${field}.secretName`, textOf(source["secretName"]), dnsSubdomainProblem);
      return checkItems(errors, `${field}.items`, source["items"]);
    case "downwardAPI":
      return checkDownward(errors, `${field}.items`, source["items"]);
    case "projected":
      return checkProjected(errors, `${field}.sources`, source["sources"]);
    case "persistentVolumeClaim":
      return checkPresent(errors, field, source, ["claimName"]);
    case "nfs":
      return checkPresent(errors, field, source, ["server", "path"]);
    case "csi":
      return checkPresent(errors, field, source, ["driver"]);
  }
}

function checkPresent(
  errors: FieldError[],
  field: string,
  source: JsonObject,
  keys: readonly string[],
): void {
  for (const key of keys) if (!source[key]) errors.push(required(`${field}.${key}`));
}

function checkHostPath(errors: FieldError[], field: string, source: JsonObject): void {
  const path = textOf(source["path"]);
  if (path === "") errors.push(required(`${field}.path`));
  else if (path.split("/").includes("..")) {
    errors.push(invalidValue(`${field}.path`, path, "must not contain '..'"));
  }
  checkOptionalOneOf(errors, `${field}.type`, textOf(source["type"]), HOST_PATH_TYPES);
}

function checkItems(errors: FieldError[], field: string, items: unknown): void {
  objects(items).forEach((item, index) => {
    if (!item["key"]) errors.push(required(`${field}[${index}].key`));
    checkFilePath(errors, `${field}[${index}]`, item);
  });
}

function checkFilePath(errors: FieldError[], field: string, item: JsonObject): void {
  const path = textOf(item["path"]);
  if (path === "") errors.push(required(`${field}.path`));
  const problem = localPathProblem(path) ??
    (path.startsWith("..") ? "must not start with '..'" : undefined);
  if (problem) errors.push(invalidValue(`${field}.path`, path, problem));
  checkFileMode(errors, `${field}.mode`, numberOf(item["mode"]));
}

function checkDownward(errors: FieldError[], field: string, items: unknown): void {
  objects(items).forEach((item, index) => {
    const at = `${field}[${index}]`;
    checkFilePath(errors, at, item);
    const fieldRef = item["fieldRef"];
    const resourceRef = item["resourceFieldRef"];
    if (isJsonObject(fieldRef)) {
      const path = textOf(fieldRef["fieldPath"]);
      checkFieldPath(errors, `${at}.fieldRef.fieldPath`, path, DOWNWARD_PATHS);
      if (resourceRef) {
        const detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
        errors.push(invalidValue(at, "resource", detail));
      }
    } else if (isJsonObject(resourceRef)) {
      checkPresent(errors, `${at}.resourceFieldRef`, resourceRef, ["containerName", "resource"]);
    } else {errors.push(
        required(`${at}.fieldRef`, "one of fieldRef and resourceFieldRef is required"),
      );}
  });
}

function checkProjected(errors: FieldError[], field: string, sources: unknown): void {
  objects(sources).forEach((source, index) => {
    const at = `${field}[${index}]`;
    const kinds = Object.keys(source);
    if (kinds.length === 0) errors.push(required(at, "must specify a volume type"));
    for (const extra of kinds.slice(1)) {
      errors.push(forbidden(`${at}.${extra}`, "may not specify more than 1 volume type"));
    }
    const kind = kinds[0];
    const body = kind === undefined ? undefined : source[kind];
    if (kind === undefined || !isJsonObject(body)) return;
    if (kind === "secret" || kind === "configMap") {
      checkPresent(errors, `${at}.${kind}`, body, ["name"]);
      checkItems(errors, `${at}.${kind}.items`, body["items"]);
    } else if (kind === "downwardAPI") checkDownward(errors, `${at}.${kind}.items`, body["items"]);
    else if (kind === "serviceAccountToken") checkFilePath(errors, `${at}.${kind}`, body);
  });
}

function objects(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}
