/** A DeviceModel by itself: names, types, access, bounds that fit their type. Pure. */
import { type DeviceModelSpec, type ModelProperty, PROPERTY_TYPES } from "../k8s/devices.ts";
import { type DeviceProblem, Problems } from "./problem.ts";
import { checkProtocol, checkVisitor } from "./protocols.ts";
import { isNumeric, valueProblem } from "./values.ts";

/** As many as an object of 1.5 MiB can hold with room to spare. */
export const PROPERTIES_MAX = 4_096;
export const NAME_CHARS_MAX = 128;

const ACCESS_MODES = ["ReadWrite", "ReadOnly"];

export function checkModel(spec: DeviceModelSpec): DeviceProblem[] {
  const problems = new Problems();
  const properties = spec.properties ?? [];
  checkCount(problems, "spec.properties", properties.length);
  problems.unique(properties.map(({ name }, at) => [`spec.properties[${at}].name`, name ?? ""]));
  properties.forEach((property, at) => {
    checkProperty(problems, `spec.properties[${at}]`, property);
    if (property.visitors) {
      const visitors = { protocolName: spec.protocol ?? "", ...property.visitors };
      checkVisitor(problems, `spec.properties[${at}].visitors`, visitors);
    }
  });
  if (spec.protocolConfigData !== undefined) {
    const protocol = { protocolName: spec.protocol ?? "", configData: spec.protocolConfigData };
    checkProtocol(problems, "spec.protocolConfigData", protocol, "");
  }
  return problems.found;
}

export function checkCount(problems: Problems, path: string, count: number): void {
  if (count <= PROPERTIES_MAX) return;
  problems.invalid(path, count, `must have at most ${PROPERTIES_MAX} items`);
}

/** Names stand in topics, paths and keys. */
export function checkPropertyName(problems: Problems, path: string, name: unknown): void {
  if (typeof name !== "string" || name === "") return problems.required(path);
  // deno-lint-ignore no-control-regex
  const bad = /[\u0000-\u001f\u007f]/.test(name);
  if (name.length > NAME_CHARS_MAX) {
    problems.invalid(path, name, `must be at most ${NAME_CHARS_MAX} characters`);
  } else if (bad || name.trim() !== name) {
    problems.invalid(path, name, "must not hold control characters, nor spaces at its ends");
  }
}

function checkProperty(problems: Problems, path: string, property: ModelProperty): void {
  checkPropertyName(problems, `${path}.name`, property.name);
  const { type, accessMode, minimum, maximum } = property;
  if (!type) problems.required(`${path}.type`);
  else problems.oneOf(`${path}.type`, type, PROPERTY_TYPES);
  if (accessMode) problems.oneOf(`${path}.accessMode`, accessMode, ACCESS_MODES);
  if (!type || !isNumeric(type)) return; // bounds of a text mean nothing, and are let be
  for (const [key, bound] of [["minimum", minimum], ["maximum", maximum]] as const) {
    const problem = bound ? valueProblem(type, bound) : undefined;
    if (problem) problems.invalid(`${path}.${key}`, bound, `${problem}, as the type is ${type}`);
  }
  if (
    minimum && maximum && !valueProblem(type, minimum) && valueProblem(type, maximum, { minimum })
  ) {
    problems.invalid(`${path}.maximum`, maximum, `must not be less than the minimum, ${minimum}`);
  }
}
