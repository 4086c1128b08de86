/**
 * Messages of the Kubernetes API by name: JSON field name, protobuf number, type. Built once, at
 * the first question, from the text tables in tables/ (data of our own form, checked while read).
 * Inlined sub-messages appear as fields of the message that holds them, with both numbers.
 */
import { invariant } from "../../../shared/errors.ts";
import { APPS } from "./tables/apps.ts";
import { CORE_OTHER } from "./tables/core_other.ts";
import { CORE_POD } from "./tables/core_pod.ts";
import { CORE_VOLUMES } from "./tables/core_volumes.ts";
import { DEVICES_V1ALPHA2, DEVICES_V1BETA1, RULES } from "./tables/devices.ts";
import { OPERATIONS } from "./tables/operations.ts";
import { META } from "./tables/meta.ts";
import { NODE_K8S } from "./tables/node_k8s.ts";
import { CORE_STORAGE, STORAGE } from "./tables/storage.ts";
import {
  AUTHENTICATION,
  AUTHORIZATION,
  AUTOSCALING,
  COORDINATION,
  POLICY,
} from "./tables/small_groups.ts";

export type ScalarType = "string" | "int32" | "int64" | "double" | "bool" | "bytes";
/** Types whose JSON form is not that of their protobuf message. `any` is left as it is. */
export type SpecialType = "Quantity" | "Time" | "MicroTime" | "IntOrString" | "FieldsV1" | "any";

export interface FieldSchema {
  readonly name: string;
  readonly number: number;
  /** A scalar, a special type, or the name of a message. */
  readonly type: string;
  readonly shape: "single" | "list" | "map";
  /** Required, or a pointer: a zero value means something and is kept. */
  readonly keepZero: boolean;
  readonly required: boolean;
}

export interface MessageSchema {
  readonly name: string;
  /** Group and version it belongs to: "v1", "apps/v1". */
  readonly apiVersion: string;
  /** Name in OpenAPI: "io.k8s.api.core.v1.Pod". */
  readonly fullName: string;
  /** What Go calls it in error messages: "v1.Pod". */
  readonly goName: string;
  /** JSON fields by name; those of inlined messages among them. */
  readonly fields: ReadonlyMap<string, FieldSchema>;
  /** Protobuf fields by number; an inlined message is one field here. */
  readonly byNumber: ReadonlyMap<number, FieldSchema & { readonly inline: boolean }>;
}

const SPECIAL = new Set<string>([
  "string",
  "int32",
  "int64",
  "double",
  "bool",
  "bytes",
  "Quantity",
  "Time",
  "MicroTime",
  "IntOrString",
  "FieldsV1",
  "any",
]);

/** True for a type that is not the name of a message of the tables. */
export function isLeafType(type: string): type is ScalarType | SpecialType {
  return SPECIAL.has(type);
}

const PACKAGES: readonly [prefix: string, apiVersion: string, text: string][] = [
  ["io.k8s.apimachinery.pkg.apis.meta.v1", "meta.k8s.io/v1", META],
  ["io.k8s.api.core.v1", "v1", CORE_POD + CORE_VOLUMES + CORE_OTHER + CORE_STORAGE],
  ["io.k8s.api.storage.v1", "v1", STORAGE],
  ["io.k8s.api.node.v1", "node.k8s.io/v1", NODE_K8S],
  ["io.k8s.api.apps.v1", "apps/v1", APPS],
  ["io.k8s.api.coordination.v1", "coordination.k8s.io/v1", COORDINATION],
  ["io.k8s.api.authorization.v1", "authorization.k8s.io/v1", AUTHORIZATION],
  ["io.k8s.api.authentication.v1", "authentication.k8s.io/v1", AUTHENTICATION],
  ["io.k8s.api.policy.v1", "policy/v1", POLICY],
  ["io.k8s.api.autoscaling.v1", "autoscaling/v1", AUTOSCALING],
  ["io.kubeedge.devices.v1beta1", "devices.kubeedge.io/v1beta1", DEVICES_V1BETA1],
  ["io.kubeedge.devices.v1alpha2", "devices.kubeedge.io/v1alpha2", DEVICES_V1ALPHA2],
  ["io.kubeedge.rules.v1", "rules.kubeedge.io/v1", RULES],
  ["io.kubeedge.operations.v1alpha2", "operations.kubeedge.io/v1alpha2", OPERATIONS],
];

let table: ReadonlyMap<string, MessageSchema> | undefined;

/** The message called `name`, or undefined. */
export function findMessage(name: string): MessageSchema | undefined {
  table ??= readTable();
  return table.get(name);
}

/** The message called `name`; a name the tables lack is a mistake of ours. */
export function messageNamed(name: string): MessageSchema {
  const message = findMessage(name);
  invariant(message, `schema tables hold message ${name}`);
  return message;
}

/**
 * The message of a whole object of this apiVersion and kind. DeleteOptions is one message under
 * every group, as clients name their own group in it.
 */
export function messageOfKind(apiVersion: string, kind: string): MessageSchema | undefined {
  const message = findMessage(kind);
  if (!message || kind === "DeleteOptions") return message;
  return message.apiVersion === apiVersion && message.fields.has("metadata") ? message : undefined;
}

/** All messages, in table order. */
export function allMessages(): Iterable<MessageSchema> {
  table ??= readTable();
  return table.values();
}

type RawField = FieldSchema & { inline: boolean };

function readTable(): ReadonlyMap<string, MessageSchema> {
  const raw = new Map<string, { prefix: string; apiVersion: string; fields: RawField[] }>();
  for (const [prefix, apiVersion, text] of PACKAGES) {
    for (const entry of text.split(/\n(?=\w)/)) {
      const [name, body] = splitEntry(entry);
      if (name === "") continue;
      invariant(!raw.has(name), `message ${name} stands once in the schema tables`);
      raw.set(name, { prefix, apiVersion, fields: body.map(readField) });
    }
  }
  const messages = new Map<string, MessageSchema>();
  for (const [name, { prefix, apiVersion, fields }] of raw) {
    messages.set(name, {
      name,
      apiVersion,
      fullName: `${prefix}.${name}`,
      goName: `v1.${name}`,
      fields: new Map(jsonFields(fields, raw).map((field) => [field.name, field])),
      byNumber: new Map(fields.map((field) => [field.number, field])),
    });
  }
  return messages;
}

function splitEntry(entry: string): [name: string, fields: string[]] {
  const words = entry.trim().split(/\s+/);
  const name = (words.shift() ?? "").replace(/:$/, "");
  return [name, words];
}

function jsonFields(
  fields: readonly RawField[],
  raw: ReadonlyMap<string, { fields: RawField[] }>,
): FieldSchema[] {
  return fields.flatMap((field) => {
    if (!field.inline) return [field];
    const inlined = raw.get(field.type);
    invariant(inlined, `inlined message ${field.type} stands in the schema tables`);
    return jsonFields(inlined.fields, raw);
  });
}

const FIELD = /^(\.\.\.)?(\w+)([!?]?)(?::(\w*)(\[\]|\{\})?)?=(\d+)$/;

function readField(text: string): RawField {
  const match = FIELD.exec(text);
  invariant(match, `schema field is readable: ${text}`);
  const [, inline, name, flag, type, shape, number] = match;
  return {
    name: name!, // the group is not optional
    number: Number(number),
    type: type || "string",
    shape: shape === "[]" ? "list" : shape === "{}" ? "map" : "single",
    keepZero: flag !== "",
    required: flag === "!",
    inline: inline !== undefined,
  };
}
