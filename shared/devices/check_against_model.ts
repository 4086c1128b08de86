/** A Device against the model it names: what only the two together can show. Pure. */
import type { DeviceModelSpec, DeviceSpec, ModelProperty } from "../k8s/devices.ts";
import { desiredValue, effectiveProtocol, effectiveVisitor } from "./effective.ts";
import { type DeviceProblem, Problems } from "./problem.ts";
import { missingInProtocol, missingInVisitor } from "./protocols.ts";
import { valueProblem } from "./values.ts";

/** A mapper of one's own may know other keys for it. */
const NEEDED = "the built-in mapper reaches nothing without it";
/** Names the stream pipeline gives a meaning of its own; models need not list them. */
const RESERVED = new Set(["saveFrame", "saveVideo"]);

export function checkAgainstModel(device: DeviceSpec, model: DeviceModelSpec): DeviceProblem[] {
  const problems = new Problems();
  const known = new Map((model.properties ?? []).map((property) => [property.name, property]));
  checkProtocolFits(problems, device, model);
  const protocol = effectiveProtocol(device, model).protocolName;
  (device.properties ?? []).forEach((property, at) => {
    const path = `spec.properties[${at}]`;
    const ofModel = known.get(property.name);
    if (!ofModel) {
      if (!RESERVED.has(property.name)) {
        problems.add(`${path}.name`, "not_found", "", property.name);
      }
      return;
    }
    const desired = desiredValue(property, ofModel);
    if (desired !== undefined) checkDesired(problems, path, desired, ofModel);
    const visitor = effectiveVisitor(property, ofModel, protocol);
    if (!visitor) return;
    const missing = missingInVisitor(visitor.protocolName, visitor.configData);
    problems.advise(() => {
      for (const key of missing) problems.required(`${path}.visitors.configData.${key}`, NEEDED);
    });
  });
  (device.methods ?? []).forEach(({ propertyNames = [] }, at) => {
    propertyNames.forEach((name, index) => {
      if (known.has(name)) return;
      problems.add(`spec.methods[${at}].propertyNames[${index}]`, "not_found", "", name);
    });
  });
  return problems.found;
}

function checkDesired(
  problems: Problems,
  path: string,
  value: string,
  { name, type, accessMode, minimum, maximum }: ModelProperty,
): void {
  if (accessMode === "ReadOnly") {
    const detail = `property ${name} is ReadOnly in its model`;
    problems.advise(() => problems.add(`${path}.desired`, "forbidden", detail));
    return;
  }
  if (!type) return; // the model's own problem
  const bounds = { ...(minimum ? { minimum } : {}), ...(maximum ? { maximum } : {}) };
  const problem = valueProblem(type, value, bounds);
  if (!problem) return;
  const detail = `${problem}, as ${name} is of type ${type} in its model`;
  problems.invalid(`${path}.desired.value`, value, detail);
}

function checkProtocolFits(problems: Problems, device: DeviceSpec, model: DeviceModelSpec): void {
  if (!device.protocol) return; // a device without configuration is not reached by any mapper
  const { protocolName, configData } = effectiveProtocol(device, model);
  problems.advise(() => {
    if (protocolName === "") problems.required("spec.protocol.protocolName");
    for (const key of missingInProtocol(protocolName, configData)) {
      problems.required(`spec.protocol.configData.${key}`, NEEDED);
    }
  });
}
