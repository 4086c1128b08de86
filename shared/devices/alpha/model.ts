/** A v1alpha2 DeviceModel into the stored v1beta1 and back. Pure. */
import { deepEqual, isJsonObject, type JsonObject } from "../../json/json.ts";
import type { DeviceModel, ModelProperty, PropertyType } from "../../k8s/devices.ts";
import { keptOf, withKept, withoutKept } from "./kept.ts";
import {
  ALPHA_VERSION,
  type AlphaModel,
  type AlphaModelProperty,
  type AlphaType,
  BETA_VERSION,
} from "./shapes.ts";

export const ALPHA_TYPES: Readonly<Record<string, PropertyType>> = {
  int: "INT",
  string: "STRING",
  double: "DOUBLE",
  float: "FLOAT",
  boolean: "BOOLEAN",
  bytes: "BYTES",
};

type TypePart = Pick<ModelProperty, "type" | "accessMode" | "minimum" | "maximum" | "unit">;

export function betaModel(alpha: AlphaModel, current?: DeviceModel): DeviceModel {
  const { spec, ...rest } = alpha;
  const kept: Record<string, AlphaType> = {};
  const before = new Map((current?.spec.properties ?? []).map((one) => [one.name, one]));
  const properties = (spec.properties ?? []).map(({ name, description, type }): ModelProperty => {
    const part = typeToBeta(type);
    if (type && !deepEqual(typeToAlpha(part), type)) kept[name] = type;
    return {
      name,
      ...(description === undefined ? {} : { description }),
      ...withUnsayable(part, before.get(name)),
    };
  });
  const { protocolConfigData } = current?.spec ?? {};
  return {
    ...rest,
    apiVersion: BETA_VERSION,
    metadata: withKept(alpha.metadata, Object.keys(kept).length > 0 ? { types: kept } : {}),
    spec: {
      ...(properties.length > 0 ? { properties } : {}),
      ...(spec.protocol === undefined ? {} : { protocol: spec.protocol }),
      ...(protocolConfigData ? { protocolConfigData } : {}),
    },
  };
}

export function alphaModel(model: DeviceModel): AlphaModel {
  const { spec, ...rest } = model;
  const types = keptOf(model.metadata)["types"];
  const kept = isJsonObject(types) ? types : {};
  const properties = (spec.properties ?? []).map((property): AlphaModelProperty => {
    const type = alphaType(property, kept[property.name]);
    return {
      name: property.name,
      ...(property.description === undefined ? {} : { description: property.description }),
      ...(type ? { type } : {}),
    };
  });
  return {
    ...rest,
    apiVersion: ALPHA_VERSION,
    metadata: withoutKept(model.metadata),
    spec: {
      ...(spec.protocol === undefined ? {} : { protocol: spec.protocol }),
      ...(properties.length > 0 ? { properties } : {}),
    },
  };
}

function typeToBeta(alpha: AlphaType | undefined): TypePart {
  const [name] = Object.keys(alpha ?? {});
  if (name === undefined) return {};
  const { accessMode, minimum, maximum, unit } = alpha?.[name] ?? {};
  const type = ALPHA_TYPES[name];
  return {
    ...(type ? { type } : {}),
    // checked by the schema and by checkModel() where they are stored
    ...(accessMode === undefined ? {} : { accessMode: accessMode as "ReadWrite" }),
    ...(minimum === undefined ? {} : { minimum: String(minimum) }),
    ...(maximum === undefined ? {} : { maximum: String(maximum) }),
    ...(unit === undefined ? {} : { unit: String(unit) }),
  };
}

function typeToAlpha(property: TypePart): AlphaType | undefined {
  const { type, accessMode, minimum, maximum, unit } = property;
  if (!type) return undefined;
  // v1alpha2 knows no streams; they come closest to bytes
  const name = Object.keys(ALPHA_TYPES).find((one) => ALPHA_TYPES[one] === type) ?? "bytes";
  const isNumber = name === "int" || name === "float" || name === "double";
  const body: JsonObject = {
    ...(accessMode === undefined ? {} : { accessMode }),
    ...(isNumber && minimum ? { minimum: Number(minimum) } : {}),
    ...(isNumber && maximum ? { maximum: Number(maximum) } : {}),
    ...((isNumber || name === "string") && unit ? { unit } : {}),
  };
  return { [name]: body };
}

function alphaType(property: ModelProperty, kept: unknown): AlphaType | undefined {
  const alpha = isJsonObject(kept) ? kept as AlphaType : undefined; // compared on the next line
  const { type, accessMode, minimum, maximum, unit } = property;
  const stored: TypePart = {
    ...(type === undefined ? {} : { type }),
    ...(accessMode === undefined ? {} : { accessMode }),
    ...(minimum === undefined ? {} : { minimum }),
    ...(maximum === undefined ? {} : { maximum }),
    ...(unit === undefined ? {} : { unit }),
  };
  return alpha && deepEqual(typeToBeta(alpha), stored) ? alpha : typeToAlpha(stored);
}

/** What a property had before and v1alpha2 cannot have taken away. */
function withUnsayable(
  part: TypePart,
  before: ModelProperty | undefined,
): Omit<ModelProperty, "name"> {
  if (!before) return part;
  const isStream = before.type === "STREAM" && part.type === "BYTES";
  return {
    ...part,
    ...(isStream ? { type: "STREAM" as const } : {}),
    ...(before.visitors ? { visitors: before.visitors } : {}),
  };
}
