/** One message as an OpenAPI schema, with the extensions by which clients merge lists. */
import type { JsonObject } from "../../../shared/json/json.ts";
import type { KindInfo } from "../kinds/kind_info.ts";
import { mergeKeyOf } from "../patch/merge_keys.ts";
import {
  type FieldSchema,
  isLeafType,
  messageNamed,
  type MessageSchema,
} from "../schema/message_table.ts";
import { DESCRIPTIONS } from "./descriptions.ts";

/** Fields whose value holds alternatives: clients say which keys stay. */
const RETAIN_KEYS = new Set([
  "PodSpec.volumes",
  "PodSpec.resourceClaims",
  "DeploymentSpec.strategy",
]);

export function schemaOf(message: MessageSchema, kind: KindInfo | undefined): JsonObject {
  const properties: JsonObject = {};
  if (kind) {
    properties["apiVersion"] = { type: "string", description: "Group and version of the kind." };
    properties["kind"] = { type: "string", description: "What the object is." };
  }
  for (const field of message.fields.values()) properties[field.name] = property(message, field);
  const required = [...message.fields.values()].filter((field) => field.required)
    .map((field) => field.name);
  const description = DESCRIPTIONS[message.name];
  return {
    ...(description === undefined ? {} : { description }),
    type: "object",
    properties,
    ...(required.length === 0 ? {} : { required }),
    ...(kind ? { "x-kubernetes-group-version-kind": [gvkOf(kind)] } : {}),
  };
}

export function gvkOf(kind: KindInfo): JsonObject {
  return { group: kind.group, version: kind.version, kind: kind.kind };
}

function property(message: MessageSchema, field: FieldSchema): JsonObject {
  const path = `${message.name}.${field.name}`;
  const description = DESCRIPTIONS[path];
  const result: JsonObject = description === undefined ? {} : { description };
  if (field.shape === "list") {
    Object.assign(result, { type: "array", items: valueSchema(field) });
    Object.assign(result, listExtensions(message, field));
  } else if (field.shape === "map") {
    Object.assign(result, { type: "object", additionalProperties: valueSchema(field) });
  } else Object.assign(result, valueSchema(field));
  if (RETAIN_KEYS.has(path)) {
    const strategy = result["x-kubernetes-patch-strategy"];
    result["x-kubernetes-patch-strategy"] = strategy ? `${strategy},retainKeys` : "retainKeys";
  }
  return result;
}

function listExtensions(message: MessageSchema, field: FieldSchema): JsonObject {
  const key = mergeKeyOf(message.name, field.name);
  if (key === undefined) return { "x-kubernetes-list-type": "atomic" };
  if (key === "") {
    return { "x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge" };
  }
  return {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": [key],
    "x-kubernetes-patch-merge-key": key,
    "x-kubernetes-patch-strategy": "merge",
  };
}

function valueSchema(field: FieldSchema): JsonObject {
  if (!isLeafType(field.type)) {
    const ref = `#/components/schemas/${messageNamed(field.type).fullName}`;
    // A reference stands alone in OpenAPI 3.0; what is said beside it needs allOf around it
    return { allOf: [{ $ref: ref }] };
  }
  switch (field.type) {
    case "string":
      return { type: "string" };
    case "bool":
      return { type: "boolean" };
    case "int32":
    case "int64":
      return { type: "integer", format: field.type };
    case "double":
      return { type: "number", format: "double" };
    case "bytes":
      return { type: "string", format: "byte" };
    case "Time":
    case "MicroTime":
      return { type: "string", format: "date-time" };
    case "Quantity":
      return { oneOf: [{ type: "string" }, { type: "number" }] };
    case "IntOrString":
      return { format: "int-or-string", oneOf: [{ type: "integer" }, { type: "string" }] };
    case "FieldsV1":
    case "any":
      return { type: "object" };
  }
}
