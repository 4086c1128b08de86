/**
 * Devices and models as mappers are given them: model and instance in one, and what is desired now
 * (the site's edit over the cloud's word). Pure. `desired`, `visitors` and every `configData` are
 * always there, because KubeEdge's mapper framework looks into them without asking. What a device
 * reports is not in it, so that a report never makes a mapper build the device anew; nor are
 * stamps, which may be corrected.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import {
  type Device as DeviceMessage,
  type DeviceModel as ModelMessage,
  DeviceModelSchema,
  type DeviceProperty as PropertyMessage,
  DevicePropertySchema,
  DeviceSchema,
} from "../../shared/gen/v1beta1/api_pb.ts";
import type { Device, DeviceModel } from "../../shared/k8s/devices.ts";
import type { DeviceDefinition, PropertyDefinition, TwinView } from "../twins/port.ts";
import { toAnyMap } from "./any_values.ts";
import { toPushMethod } from "./to_push_method.ts";

export interface DeviceParts {
  definition: DeviceDefinition;
  /** As the API has it. */
  device: Pick<Device, "spec" | "status"> | undefined;
  twins: readonly TwinView[];
}

export function toDeviceMessage({ definition, device, twins }: DeviceParts): DeviceMessage {
  const { namespace, name, model = "", protocol, methods } = definition;
  const desired = new Map(twins.map((twin) => [twin.property, twin]));
  const properties = definition.properties
    .filter((property) => property.listed || desired.get(property.name)?.desired)
    .map((property) => toProperty(property, desired.get(property.name), protocol.name));
  return create(DeviceSchema, {
    namespace: wellFormed(namespace),
    name: wellFormed(name),
    spec: {
      deviceModelReference: wellFormed(model),
      protocol: {
        protocolName: wellFormed(protocol.name),
        configData: { data: toAnyMap(protocol.configData) },
      },
      properties,
      methods: methods.map((method) => ({
        name: wellFormed(method.name),
        description: wellFormed(method.description),
        propertyNames: (method.propertyNames ?? []).map(wellFormed),
      })),
    },
    status: {
      reportToCloud: definition.stateToCloud,
      reportCycle: wholeMs(device?.spec?.stateReport?.reportCycle ?? device?.status?.reportCycle),
    },
  });
}

function toProperty(
  property: PropertyDefinition,
  twin: TwinView | undefined,
  protocolName: string,
): PropertyMessage {
  const { visitors, pushMethod } = property;
  return create(DevicePropertySchema, {
    name: wellFormed(property.name),
    desired: {
      value: wellFormed(twin?.desired?.value),
      metadata: toMetadata({ type: property.type.toLowerCase(), ...twin?.desired?.metadata }),
    },
    visitors: {
      protocolName: wellFormed(visitors?.protocolName || protocolName),
      configData: { data: toAnyMap(visitors?.configData) },
    },
    reportCycle: wholeMs(property.reportCycleMs),
    collectCycle: wholeMs(property.collectCycleMs),
    reportToCloud: property.toCloud,
    ...(pushMethod ? { pushMethod: toPushMethod(pushMethod) } : {}),
  });
}

export function toModelMessage({ metadata, spec }: DeviceModel): ModelMessage {
  return create(DeviceModelSchema, {
    namespace: wellFormed(metadata.namespace),
    name: wellFormed(metadata.name),
    spec: {
      properties: (spec?.properties ?? []).map((property) => ({
        name: wellFormed(property.name),
        description: wellFormed(property.description),
        type: wellFormed(property.type),
        accessMode: wellFormed(property.accessMode),
        minimum: wellFormed(property.minimum),
        maximum: wellFormed(property.maximum),
        unit: wellFormed(property.unit),
      })),
    },
  });
}

export function deviceBytes(message: DeviceMessage): Uint8Array {
  return toBinary(DeviceSchema, message);
}

export function modelBytes(message: ModelMessage): Uint8Array {
  return toBinary(DeviceModelSchema, message);
}

function toMetadata(metadata: Record<string, string>): Record<string, string> {
  const sorted: Record<string, string> = Object.create(null);
  for (const key of Object.keys(metadata).sort()) {
    sorted[wellFormed(key)] = wellFormed(metadata[key]);
  }
  return sorted;
}

/** Protobuf takes no lone surrogates; what is no text is none. */
function wellFormed(text: unknown): string {
  return typeof text === "string" ? text.toWellFormed() : "";
}

function wholeMs(ms: unknown): bigint {
  return typeof ms === "number" && Number.isSafeInteger(ms) ? BigInt(ms) : 0n;
}
