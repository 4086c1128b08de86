/**
 * What is wrong with a v1alpha2 object in its own words; conversion shows the rest. Its schema
 * requires nothing of a protocol: what is missing is told of what it becomes, as advice.
 */
import { isJsonObject } from "../../json/json.ts";
import { type DeviceProblem, Problems } from "../problem.ts";
import { BAUD_RATES, REGISTERS } from "../protocols.ts";
import { ALPHA_TYPES } from "./model.ts";
import type { AlphaDevice, AlphaModel, AlphaProtocol, AlphaVisitor } from "./shapes.ts";

const PROTOCOLS = ["opcua", "modbus", "bluetooth", "customizedProtocol"] as const;
const OPERATIONS = ["Add", "Subtract", "Multiply", "Divide"];

export function checkAlphaDevice({ spec, status }: AlphaDevice): DeviceProblem[] {
  const problems = new Problems();
  if (spec.protocol) checkProtocol(problems, "spec.protocol", spec.protocol);
  const visitors = spec.propertyVisitors ?? [];
  problems.unique(
    visitors.map((one, at) => [`spec.propertyVisitors[${at}].propertyName`, one.propertyName]),
  );
  visitors.forEach((visitor, at) => {
    checkVisitor(problems, `spec.propertyVisitors[${at}]`, visitor);
  });
  const twins = status?.twins ?? [];
  problems.unique(twins.map((one, at) => [`status.twins[${at}].propertyName`, one.propertyName]));
  return problems.found;
}

export function checkAlphaModel({ spec }: AlphaModel): DeviceProblem[] {
  const problems = new Problems();
  (spec.properties ?? []).forEach(({ type }, at) => {
    const path = `spec.properties[${at}].type`;
    const names = Object.keys(type ?? {});
    if (names.length === 0) {
      problems.required(path, `one of ${Object.keys(ALPHA_TYPES).join(", ")}`);
    }
    if (names.length > 1) problems.invalid(path, names.join(", "), "must have exactly one member");
  });
  return problems.found;
}

function checkProtocol(problems: Problems, path: string, protocol: AlphaProtocol): void {
  const given = PROTOCOLS.filter((name) => protocol[name] !== undefined);
  if (given.length > 1) problems.invalid(path, given.join(", "), "must have only one protocol");
  const { com, tcp, collectType } = protocol.common ?? {};
  if (isJsonObject(com)) {
    const baudRate = com["baudRate"];
    if (baudRate !== undefined) problems.oneOf(`${path}.common.com.baudRate`, baudRate, BAUD_RATES);
  }
  if (isJsonObject(tcp) && tcp["port"] !== undefined) {
    problems.whole(`${path}.common.tcp.port`, tcp["port"], [1, 65_535]);
  }
  if (collectType) problems.oneOf(`${path}.common.collectType`, collectType, ["sync", "async"]);
}

function checkVisitor(problems: Problems, path: string, visitor: AlphaVisitor): void {
  const given = PROTOCOLS.filter((name) => visitor[name] !== undefined);
  if (given.length > 1) problems.invalid(path, given.join(", "), "must have only one protocol");
  const { modbus, bluetooth } = visitor;
  if (modbus) {
    const { register, offset } = modbus;
    if (register !== undefined) problems.oneOf(`${path}.modbus.register`, register, REGISTERS);
    if (offset !== undefined) problems.whole(`${path}.modbus.offset`, offset, [0, 65_535]);
  }
  if (bluetooth) {
    checkConverter(problems, `${path}.bluetooth.dataConverter`, bluetooth["dataConverter"]);
  }
}

function checkConverter(problems: Problems, path: string, converter: unknown): void {
  if (!isJsonObject(converter)) return;
  for (const key of ["startIndex", "endIndex"]) {
    const index = converter[key];
    if (index !== undefined) problems.whole(`${path}.${key}`, index, [0, 2 ** 31]);
  }
  const steps = converter["orderOfOperations"];
  (Array.isArray(steps) ? steps : []).forEach((step: unknown, at) => {
    const type = isJsonObject(step) ? step["operationType"] : undefined;
    if (type === undefined) return;
    problems.oneOf(`${path}.orderOfOperations[${at}].operationType`, type, OPERATIONS);
  });
}
