/** What is wrong with a v1alpha2 object in its own words; conversion shows the rest. */
import { isJsonObject } from "../../json/json.ts";
import { type DeviceProblem, Problems } from "../problem.ts";
import { BAUD_RATES, REGISTERS } from "../protocols.ts";
import { ALPHA_TYPES } from "./model.ts";
import type { AlphaDevice, AlphaModel, AlphaProtocol, AlphaVisitor } from "./shapes.ts";

const PROTOCOLS = ["opcua", "modbus", "bluetooth", "customizedProtocol"] as const;
const OPERATIONS = ["Add", "Subtract", "Multiply", "Divide"];

export function checkAlphaDevice({ spec, status }: AlphaDevice): DeviceProblem[] {
  const problems = new Problems();
  if (!spec.deviceModelRef?.name) problems.required("spec.deviceModelRef.name");
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
  const { opcua, modbus, customizedProtocol, common } = protocol;
  if (opcua && !opcua["url"]) problems.required(`${path}.opcua.url`);
  if (modbus && modbus["slaveID"] === undefined) problems.required(`${path}.modbus.slaveID`);
  if (customizedProtocol && !customizedProtocol.protocolName) {
    problems.required(`${path}.customizedProtocol.protocolName`);
  }
  const { com, tcp, collectType } = common ?? {};
  if (isJsonObject(com)) {
    if (!com["serialPort"]) problems.required(`${path}.common.com.serialPort`);
    const baudRate = com["baudRate"];
    if (baudRate !== undefined) problems.oneOf(`${path}.common.com.baudRate`, baudRate, BAUD_RATES);
  }
  if (isJsonObject(tcp)) {
    if (!tcp["ip"]) problems.required(`${path}.common.tcp.ip`);
    problems.whole(`${path}.common.tcp.port`, tcp["port"], [1, 65_535]);
  }
  if (collectType) problems.oneOf(`${path}.common.collectType`, collectType, ["sync", "async"]);
}

function checkVisitor(problems: Problems, path: string, visitor: AlphaVisitor): void {
  const given = PROTOCOLS.filter((name) => visitor[name] !== undefined);
  if (given.length > 1) problems.invalid(path, given.join(", "), "must have only one protocol");
  const { opcua, modbus, bluetooth, customizedProtocol } = visitor;
  if (opcua && !opcua["nodeID"]) problems.required(`${path}.opcua.nodeID`);
  if (modbus) {
    problems.oneOf(`${path}.modbus.register`, modbus["register"] ?? "", REGISTERS);
    problems.whole(`${path}.modbus.offset`, modbus["offset"], [0, 65_535]);
    if (modbus["limit"] === undefined) problems.required(`${path}.modbus.limit`);
  }
  if (bluetooth) {
    if (!bluetooth["characteristicUUID"]) problems.required(`${path}.bluetooth.characteristicUUID`);
    checkConverter(problems, `${path}.bluetooth.dataConverter`, bluetooth["dataConverter"]);
  }
  if (customizedProtocol && !customizedProtocol.protocolName) {
    problems.required(`${path}.customizedProtocol.protocolName`);
  }
}

function checkConverter(problems: Problems, path: string, converter: unknown): void {
  if (!isJsonObject(converter)) return;
  for (const key of ["startIndex", "endIndex"]) {
    problems.whole(`${path}.${key}`, converter[key], [0, 2 ** 31]);
  }
  const steps = converter["orderOfOperations"];
  (Array.isArray(steps) ? steps : []).forEach((step: unknown, at) => {
    const type = isJsonObject(step) ? step["operationType"] : undefined;
    problems.oneOf(`${path}.orderOfOperations[${at}].operationType`, type ?? "", OPERATIONS);
  });
}
