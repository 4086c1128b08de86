/** The rules of a Pod's spec, in the words of the API server. Expects a decoded, defaulted pod. */
import type { JsonObject } from "../../../shared/json/json.ts";
import { labelKeyProblem } from "../../../shared/k8s/selectors.ts";
import type { Container, Pod, PodSpec } from "../../../shared/k8s/types.ts";
import { checkName, checkNotNegative, checkOneOf, checkRange, INT31_RANGE } from "./checks.ts";
import { checkContainer, checkHostPorts, checkInitContainer } from "./container_validation.ts";
import { type FieldError, forbidden, invalidValue, required } from "./field_error.ts";
import { dnsLabelProblem, dnsSubdomainProblem, ipProblem } from "./names.ts";
import { checkRestart } from "./restart_validation.ts";
import { checkScheduling } from "./scheduling_validation.ts";
import { checkVolumes } from "./volume_validation.ts";

const RESTART_POLICIES = ["Always", "OnFailure", "Never"];
const DNS_POLICIES = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

export function validatePodSpec(pod: Pod): FieldError[] {
  const errors: FieldError[] = [];
  const { spec } = pod;
  checkContainers(errors, spec);
  checkOneOf(errors, "spec.restartPolicy", spec.restartPolicy, RESTART_POLICIES);
  checkDns(errors, spec);
  checkNotNegative(
    errors,
    "spec.terminationGracePeriodSeconds",
    spec.terminationGracePeriodSeconds,
  );
  checkRange(errors, "spec.activeDeadlineSeconds", spec.activeDeadlineSeconds, [1, INT31_RANGE[1]]);
  checkScheduling(errors, spec);
  checkOptionalNames(errors, spec);
  checkSecurity(errors, spec);
  spec.hostAliases?.forEach((alias, index) =>
    checkName(errors, `spec.hostAliases[${index}].ip`, alias.ip, ipProblem)
  );
  spec.readinessGates?.forEach((gate, index) => {
    const field = `spec.readinessGates[${index}].conditionType`;
    checkName(errors, field, gate.conditionType, labelKeyProblem);
  });
  return errors;
}

/** What only a create must not bring. */
export function validatePodCreate(pod: Pod): FieldError[] {
  if (pod.spec.ephemeralContainers === undefined) return [];
  return [forbidden("spec.ephemeralContainers", "cannot be set on create")];
}

function checkContainers(errors: FieldError[], spec: PodSpec): void {
  // A volume is read by the name of its source
  const volumes = checkVolumes(errors, "spec.volumes", (spec.volumes ?? []) as JsonObject[]);
  const context = { volumes, names: new Set<string>(), hostNetwork: spec.hostNetwork === true };
  const containers = spec.containers ?? [];
  if (containers.length === 0) errors.push(required("spec.containers"));
  containers.forEach((container, index) => {
    const field = `spec.containers[${index}]`;
    checkContainer(errors, field, container, context);
    checkRestart(errors, field, container);
  });
  checkHostPorts(errors, "spec.containers", containers);
  spec.initContainers?.forEach((container: Container, index) => {
    const field = `spec.initContainers[${index}]`;
    checkContainer(errors, field, container, context);
    checkInitContainer(errors, field, container);
  });
}

function checkDns(errors: FieldError[], spec: PodSpec): void {
  checkOneOf(errors, "spec.dnsPolicy", spec.dnsPolicy, DNS_POLICIES);
  const { dnsConfig } = spec;
  const nameservers = dnsConfig?.nameservers ?? [];
  if (spec.dnsPolicy === "None" && nameservers.length === 0) {
    const detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
    errors.push(required("spec.dnsConfig.nameservers", detail));
  }
  // 3 and 32: what resolvers and kubelet take
  if (nameservers.length > 3) {
    const detail = "must not have more than 3 nameservers";
    errors.push(invalidValue("spec.dnsConfig.nameservers", nameservers, detail));
  }
  if ((dnsConfig?.searches?.length ?? 0) > 32) {
    const detail = "must not have more than 32 search paths";
    errors.push(invalidValue("spec.dnsConfig.searches", dnsConfig?.searches, detail));
  }
  nameservers.forEach((server, index) =>
    checkName(errors, `spec.dnsConfig.nameservers[${index}]`, server, ipProblem)
  );
}

function checkOptionalNames(errors: FieldError[], spec: PodSpec): void {
  const subdomains = {
    nodeName: spec.nodeName,
    serviceAccountName: spec.serviceAccountName,
    runtimeClassName: spec.runtimeClassName,
    priorityClassName: spec.priorityClassName,
  };
  for (const [key, value] of Object.entries(subdomains)) {
    if (value) checkName(errors, `spec.${key}`, value, dnsSubdomainProblem);
  }
  for (const key of ["hostname", "subdomain"] as const) {
    const value = spec[key];
    if (value) checkName(errors, `spec.${key}`, value, dnsLabelProblem);
  }
}

function checkSecurity(errors: FieldError[], spec: PodSpec): void {
  if (spec.shareProcessNamespace && spec.hostPID) {
    const detail = "ShareProcessNamespace and HostPID cannot both be enabled";
    errors.push(invalidValue("spec.shareProcessNamespace", true, detail));
  }
  const security = spec.securityContext ?? {};
  for (const key of ["runAsUser", "runAsGroup", "fsGroup"] as const) {
    checkRange(errors, `spec.securityContext.${key}`, security[key], INT31_RANGE);
  }
  const changePolicy = security.fsGroupChangePolicy;
  if (changePolicy !== undefined) {
    const field = "spec.securityContext.fsGroupChangePolicy";
    checkOneOf(errors, field, changePolicy, ["Always", "OnRootMismatch"]);
  }
  security.supplementalGroups?.forEach((group, index) =>
    checkRange(errors, `spec.securityContext.supplementalGroups[${index}]`, group, INT31_RANGE)
  );
}
