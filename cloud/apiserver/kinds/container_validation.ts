/** One container: image, ports, environment, mounts, security; and names across containers. */
import type {
  Container,
  ContainerPort,
  ContainerSecurityContext,
} from "../../../shared/k8s/types.ts";
import {
  checkName,
  checkOneOf,
  checkOptionalOneOf,
  checkRange,
  INT31_RANGE,
  PORT_RANGE,
} from "./checks.ts";
import { checkEnv } from "./env_validation.ts";
import {
  duplicate,
  type FieldError,
  forbidden,
  invalidValue,
  notFound,
  required,
} from "./field_error.ts";
import { dnsLabelProblem, ipProblem, localPathProblem, portNameProblem } from "./names.ts";
import { checkLifecycle, checkProbes } from "./probe_validation.ts";
import { checkRestart } from "./restart_validation.ts";
import { checkResources } from "./resources_validation.ts";

const PULL_POLICIES = ["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES = ["FallbackToLogsOnError", "File"];
const PROPAGATIONS = ["Bidirectional", "HostToContainer", "None"];
const PROTOCOLS = ["SCTP", "TCP", "UDP"];

/** What a container is checked against. `names` grows as containers are checked. */
export interface ContainerContext {
  volumes: ReadonlySet<string>;
  names: Set<string>;
  hostNetwork: boolean;
}

export function checkContainer(
  errors: FieldError[],
  field: string,
  container: Container,
  context: ContainerContext,
): void {
  checkName(errors, `${field}.name`, container.name, dnsLabelProblem);
  if (container.name && context.names.has(container.name)) {
    errors.push(duplicate(`${field}.name`, container.name));
  }
  context.names.add(container.name);
  checkImage(errors, `${field}.image`, container.image);
  checkOneOf(
    errors,
    `${field}.imagePullPolicy`,
    container.imagePullPolicy ?? "Always",
    PULL_POLICIES,
  );
  checkOptionalOneOf(
    errors,
    `${field}.terminationMessagePolicy`,
    container.terminationMessagePolicy,
    MESSAGE_POLICIES,
  );
  checkPorts(errors, `${field}.ports`, container.ports ?? [], context.hostNetwork);
  checkEnv(errors, field, container);
  checkMounts(errors, `${field}.volumeMounts`, container, context.volumes);
  checkResources(errors, `${field}.resources`, container.resources);
  checkProbes(errors, field, container);
  checkLifecycle(errors, field, container);
  checkSecurity(errors, `${field}.securityContext`, container.securityContext ?? {});
}

/** Sidecars (restartPolicy Always) may have what ordinary init containers may not. */
export function checkInitContainer(
  errors: FieldError[],
  field: string,
  container: Container,
): void {
  checkRestart(errors, field, container);
  if (container.restartPolicy === "Always") return;
  const detail = "may not be set for init containers without restartPolicy=Always";
  for (const key of ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] as const) {
    if (container[key]) errors.push(forbidden(`${field}.${key}`, detail));
  }
}

function checkImage(errors: FieldError[], field: string, image: string | undefined): void {
  if (!image) errors.push(required(field));
  else if (image.trim() !== image) {
    errors.push(invalidValue(field, image, "must not have leading or trailing whitespace"));
  }
}

function checkPorts(
  errors: FieldError[],
  field: string,
  ports: readonly ContainerPort[],
  hostNetwork: boolean,
): void {
  const names = new Set<string>();
  ports.forEach((port, index) => {
    const at = `${field}[${index}]`;
    if (port.name) {
      checkName(errors, `${at}.name`, port.name, portNameProblem);
      if (names.has(port.name)) errors.push(duplicate(`${at}.name`, port.name));
      names.add(port.name);
    }
    if (!port.containerPort) errors.push(required(`${at}.containerPort`));
    else checkRange(errors, `${at}.containerPort`, port.containerPort, PORT_RANGE);
    if (port.hostPort) checkRange(errors, `${at}.hostPort`, port.hostPort, PORT_RANGE);
    checkOneOf(errors, `${at}.protocol`, port.protocol, PROTOCOLS);
    if (port.hostIP) checkName(errors, `${at}.hostIP`, port.hostIP, ipProblem);
    if (hostNetwork && port.hostPort !== port.containerPort) {
      const detail = "must match `hostPort` when `hostNetwork` is true";
      errors.push(invalidValue(`${at}.containerPort`, port.containerPort, detail));
    }
  });
}

/** Two containers of a pod cannot hold the same port of the host. */
export function checkHostPorts(
  errors: FieldError[],
  field: string,
  containers: readonly Container[],
): void {
  const taken = new Set<string>();
  containers.forEach((container, index) =>
    container.ports?.forEach((port, portIndex) => {
      if (!port.hostPort) return;
      const key = `${port.protocol ?? "TCP"}/${port.hostIP ?? ""}/${port.hostPort}`;
      const at = `${field}[${index}].ports[${portIndex}].hostPort`;
      if (taken.has(key)) errors.push(duplicate(at, key));
      taken.add(key);
    })
  );
}

function checkMounts(
  errors: FieldError[],
  field: string,
  { volumeMounts: mounts = [], securityContext }: Container,
  volumes: ReadonlySet<string>,
): void {
  const paths = new Set<string>();
  mounts.forEach((mount, index) => {
    const at = `${field}[${index}]`;
    if (!mount.name) errors.push(required(`${at}.name`));
    else if (!volumes.has(mount.name)) errors.push(notFound(`${at}.name`, mount.name));
    if (!mount.mountPath) errors.push(required(`${at}.mountPath`));
    else if (paths.has(mount.mountPath)) {
      errors.push(invalidValue(`${at}.mountPath`, mount.mountPath, "must be unique"));
    }
    paths.add(mount.mountPath);
    if (mount.subPath && mount.subPathExpr) {
      const detail = "subPathExpr and subPath are mutually exclusive";
      errors.push(invalidValue(`${at}.subPathExpr`, mount.subPathExpr, detail));
    }
    for (const key of ["subPath", "subPathExpr"] as const) {
      const path = mount[key];
      const problem = path ? localPathProblem(path) : undefined;
      if (problem) errors.push(invalidValue(`${at}.${key}`, path, problem));
    }
    checkOptionalOneOf(errors, `${at}.mountPropagation`, mount.mountPropagation, PROPAGATIONS);
    if (mount.mountPropagation === "Bidirectional" && !securityContext?.privileged) {
      const detail = "Bidirectional mount propagation is available only to privileged containers";
      errors.push(forbidden(`${at}.mountPropagation`, detail));
    }
  });
}

function checkSecurity(
  errors: FieldError[],
  field: string,
  security: ContainerSecurityContext,
): void {
  checkRange(errors, `${field}.runAsUser`, security.runAsUser, INT31_RANGE);
  checkRange(errors, `${field}.runAsGroup`, security.runAsGroup, INT31_RANGE);
  if (security.allowPrivilegeEscalation === false) {
    const rule = "cannot set `allowPrivilegeEscalation` to false and";
    if (security.privileged) {
      errors.push(invalidValue(field, security, `${rule} \`privileged\` to true`));
    }
    if (security.capabilities?.add?.some((name) => name.endsWith("SYS_ADMIN"))) {
      errors.push(invalidValue(field, security, `${rule} \`capabilities.Add\` CAP_SYS_ADMIN`));
    }
  }
  checkOptionalOneOf(errors, `${field}.procMount`, security.procMount, ["Default", "Unmasked"]);
}
