/** A Device by itself, whatever its model says. Pure. */
import { isJsonObject } from "../json/json.ts";
import type { DeviceProperty, DeviceSpec, DeviceStatusBody, TwinValue } from "../k8s/devices.ts";
import { checkCount, checkPropertyName } from "./check_model.ts";
import { checkPush } from "./check_push.ts";
import { type DeviceProblem, Problems } from "./problem.ts";
import { checkProtocol, checkVisitor } from "./protocols.ts";
import { utf8Bytes, VALUE_BYTES_MAX } from "./values.ts";

export const DEVICE_STATES = ["online", "offline", "ok", "unknown", "unhealthy"] as const;

export function checkDevice(spec: DeviceSpec): DeviceProblem[] {
  const problems = new Problems();
  if (!spec.deviceModelRef?.name) {
    const detail = "a device without a model has no properties anybody knows";
    problems.advise(() => problems.required("spec.deviceModelRef.name", detail));
  }
  const properties = spec.properties ?? [];
  checkCount(problems, "spec.properties", properties.length);
  problems.unique(properties.map(({ name }, at) => [`spec.properties[${at}].name`, name ?? ""]));
  properties.forEach((property, at) => {
    checkProperty(problems, `spec.properties[${at}]`, property, spec.protocol?.protocolName);
  });
  if (spec.protocol) {
    checkProtocol(problems, "spec.protocol", spec.protocol);
  }
  const methods = spec.methods ?? [];
  problems.unique(methods.map(({ name }, at) => [`spec.methods[${at}].name`, name ?? ""]));
  methods.forEach(({ name }, at) => {
    checkPropertyName(problems, `spec.methods[${at}].name`, name);
  });
  problems.cycle("spec.stateReport.reportCycle", spec.stateReport?.reportCycle);
  return problems.found;
}

function checkProperty(
  problems: Problems,
  path: string,
  property: DeviceProperty,
  protocol: string | undefined,
): void {
  checkPropertyName(problems, `${path}.name`, property.name);
  if (property.desired) checkTwinValue(problems, `${path}.desired`, property.desired);
  problems.cycle(`${path}.reportCycle`, property.reportCycle);
  problems.cycle(`${path}.collectCycle`, property.collectCycle);
  if (property.visitors) {
    const protocolName = property.visitors.protocolName || protocol || "";
    checkVisitor(problems, `${path}.visitors`, { ...property.visitors, protocolName });
  }
  if (property.pushMethod) checkPush(problems, `${path}.pushMethod`, property.pushMethod);
}

/** The status a node reports, or an administrator writes. */
export function checkStatus(status: DeviceStatusBody): DeviceProblem[] {
  const problems = new Problems();
  const { state, twins = [], extensions } = status;
  if (state) problems.oneOf("status.state", state.toLowerCase(), DEVICE_STATES);
  checkCount(problems, "status.twins", twins.length);
  problems.unique(
    twins.map(({ propertyName }, at) => [`status.twins[${at}].propertyName`, propertyName ?? ""]),
  );
  twins.forEach(({ propertyName, reported, observedDesired }, at) => {
    const path = `status.twins[${at}]`;
    checkPropertyName(problems, `${path}.propertyName`, propertyName);
    if (reported) checkTwinValue(problems, `${path}.reported`, reported);
    if (observedDesired) checkTwinValue(problems, `${path}.observedDesired`, observedDesired);
  });
  if (extensions !== undefined && !isJsonObject(extensions)) {
    problems.invalid("status.extensions", extensions, "must be an object");
  }
  return problems.found;
}

function checkTwinValue(problems: Problems, path: string, value: TwinValue): void {
  if (typeof value.value !== "string") return problems.required(`${path}.value`);
  if (utf8Bytes(value.value) <= VALUE_BYTES_MAX) return;
  problems.add(`${path}.value`, "too_long", `may not be more than ${VALUE_BYTES_MAX} bytes`);
}
