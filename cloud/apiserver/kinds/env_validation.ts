/** Environment variables of a container and where their values come from. */
import { isJsonObject, type JsonObject } from "../../../shared/json/json.ts";
import { labelKeyProblem } from "../../../shared/k8s/selectors.ts";
import type { Container, EnvVar } from "../../../shared/k8s/types.ts";
import { checkName } from "./checks.ts";
import { type FieldError, invalidValue, notSupported, required } from "./field_error.ts";
import { configKeyProblem, dnsSubdomainProblem, envNameProblem } from "./names.ts";

const SOURCES = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef"];
const FIELD_PATHS = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];
const RESOURCES = [
  "limits.cpu",
  "limits.ephemeral-storage",
  "limits.memory",
  "requests.cpu",
  "requests.ephemeral-storage",
  "requests.memory",
];

export function checkEnv(errors: FieldError[], field: string, container: Container): void {
  container.env?.forEach((variable, index) =>
    checkVariable(errors, `${field}.env[${index}]`, variable)
  );
  container.envFrom?.forEach((source, index) => {
    const at = `${field}.envFrom[${index}]`;
    const given = (["configMapRef", "secretRef"] as const).filter((name) => source[name]);
    if (source.prefix) checkName(errors, `${at}.prefix`, source.prefix, envNameProblem);
    if (given.length !== 1) {
      errors.push(invalidValue(at, "", oneOfDetail(given, ["configMapRef", "secretRef"])));
    }
    for (const name of given) {
      checkName(errors, `${at}.${name}.name`, source[name]?.name, dnsSubdomainProblem);
    }
  });
}

function oneOfDetail(given: readonly string[], known: readonly string[]): string {
  if (given.length > 1) return "may not have more than one field specified at a time";
  return `must specify one of: ${known.map((name) => `\`${name}\``).join(" or ")}`;
}

function checkVariable(errors: FieldError[], field: string, variable: EnvVar): void {
  checkName(errors, `${field}.name`, variable.name, envNameProblem);
  const source: JsonObject | undefined = variable.valueFrom;
  if (!source) return;
  const at = `${field}.valueFrom`;
  const given = SOURCES.filter((name) => isJsonObject(source[name]));
  if (given.length !== 1 && !isJsonObject(source["fileKeyRef"])) {
    errors.push(invalidValue(at, "", oneOfDetail(given, SOURCES)));
  } else if (variable.value) {
    errors.push(invalidValue(at, "", "may not be specified when `value` is not empty"));
  }
  const { fieldRef, resourceFieldRef } = variable.valueFrom ?? {};
  if (fieldRef) checkFieldPath(errors, `${at}.fieldRef.fieldPath`, fieldRef.fieldPath);
  if (resourceFieldRef) {
    const { resource } = resourceFieldRef;
    if (!resource) errors.push(required(`${at}.resourceFieldRef.resource`));
    else if (!RESOURCES.includes(resource) && !/^(limits|requests)\.hugepages-/.test(resource)) {
      errors.push(notSupported(`${at}.resourceFieldRef.resource`, resource, RESOURCES));
    }
  }
  for (const name of ["configMapKeyRef", "secretKeyRef"] as const) {
    const reference = variable.valueFrom?.[name];
    if (!reference) continue;
    checkName(errors, `${at}.${name}.name`, reference.name, dnsSubdomainProblem);
    checkName(errors, `${at}.${name}.key`, reference.key, configKeyProblem);
  }
}

/** `paths` beside the subscripted labels and annotations. */
export function checkFieldPath(
  errors: FieldError[],
  field: string,
  path: string | undefined,
  paths: readonly string[] = FIELD_PATHS,
): void {
  if (!path) {
    errors.push(required(field));
    return;
  }
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path);
  if (!subscript) {
    if (!paths.includes(path)) errors.push(notSupported(field, path, paths));
    return;
  }
  const problem = labelKeyProblem((subscript[2] ?? "").toLowerCase());
  if (problem) errors.push(invalidValue(field, path, problem));
}
