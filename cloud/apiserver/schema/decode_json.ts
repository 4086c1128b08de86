/**
 * JSON bodies into objects of a known kind: unknown fields found (and pruned), types checked, leaf
 * values brought to the stored form, null fields dropped. Error texts are those of the real API
 * server, because people search for them. Depth is bounded by the schema, which is not recursive.
 */
import { isJsonObject, type JsonObject, jsonTypeOf, setOwn } from "../../../shared/json/json.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { badRequest } from "./bad_request.ts";
import { duplicateKeys } from "./duplicate_keys.ts";
import { goTypeOfLeaf, type LeafProblem, readLeaf } from "./leaf_json.ts";
import { type FieldSchema, isLeafType, messageNamed, type MessageSchema } from "./message_table.ts";

export type FieldValidation = "Strict" | "Warn" | "Ignore";

export interface DecodeOptions {
  fieldValidation: FieldValidation;
  /** The raw text, where there is one: duplicate keys are found in it. */
  text?: string;
}

export interface Decoded {
  object: KubeObject;
  /** For `Warning: 299` headers: `unknown field "spec.x"`. */
  warnings: string[];
}

/** What decodeJson() needs of a KindInfo. */
export interface DecodeTarget {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly schema: string;
}

/** More than this many complaints help nobody and would bloat the reply's headers. */
const COMPLAINTS_MAX = 50;

interface Place {
  /** "spec.containers[0].ports": for people. */
  path: string;
  /** "spec.containers.ports": as Go's JSON errors name it. */
  goPath: string;
  /** Go name of the struct that holds the field: "Container". */
  owner: string;
}

/** Throws AppError "invalid" with `facts.reason` "BadRequest" (HTTP 400). */
export function decodeJson(target: DecodeTarget, value: unknown, options: DecodeOptions): Decoded {
  const decoder = new Decoder(target);
  const object = decoder.root(value);
  if (options.fieldValidation === "Ignore") return { object, warnings: [] };
  const complaints = decoder.unknown.map((path) => `unknown field "${path}"`);
  if (options.text !== undefined) {
    for (const path of duplicateKeys(options.text, COMPLAINTS_MAX)) {
      complaints.push(`duplicate field "${path}"`);
    }
  }
  if (complaints.length > 0 && options.fieldValidation === "Strict") {
    throw decoder.refused(`strict decoding error: ${complaints.join(", ")}`);
  }
  return { object, warnings: complaints };
}

class Decoder {
  readonly unknown: string[] = [];
  readonly #target: DecodeTarget;

  constructor(target: DecodeTarget) {
    this.#target = target;
  }

  refused(detail: string, field?: string) {
    const { kind, version } = this.#target;
    const head = `${kind} in version "${version}" cannot be handled as a ${kind}`;
    return badRequest(`${head}: ${detail}`, field);
  }

  root(value: unknown): KubeObject {
    const schema = messageNamed(this.#target.schema);
    if (!isJsonObject(value)) {
      throw this.refused(
        `json: cannot unmarshal ${jsonTypeOf(value)} into Go value of type ${schema.goName}`,
      );
    }
    const { group, version, kind } = this.#target;
    const apiVersion = group === "" ? version : `${group}/${version}`;
    this.#checkName("API version", value["apiVersion"], apiVersion);
    this.#checkName("kind", value["kind"], kind);
    const fields = this.#message(schema, value, { path: "", goPath: "", owner: schema.name });
    const metadata = isJsonObject(fields["metadata"]) ? fields["metadata"] : {};
    return { apiVersion, kind, ...fields, metadata };
  }

  #checkName(what: string, given: unknown, expected: string): void {
    if (given === undefined || given === null || given === "" || given === expected) return;
    const shown = typeof given === "string" ? given : JSON.stringify(given);
    throw badRequest(
      `the ${what} in the data (${shown}) does not match the expected ${what} (${expected})`,
    );
  }

  #message(schema: MessageSchema, value: JsonObject, place: Place): JsonObject {
    const result: JsonObject = {};
    for (const [key, item] of Object.entries(value)) {
      const path = place.path === "" ? key : `${place.path}.${key}`;
      const field = schema.fields.get(key);
      if (!field) {
        const typeMeta = place.path === "" && (key === "apiVersion" || key === "kind");
        if (!typeMeta && this.unknown.length < COMPLAINTS_MAX) this.unknown.push(path);
        continue;
      }
      if (item === null || item === undefined) continue;
      const goPath = place.goPath === "" ? key : `${place.goPath}.${key}`;
      result[key] = this.#field(field, item, { path, goPath, owner: schema.name });
    }
    return result;
  }

  #field(field: FieldSchema, value: unknown, place: Place): unknown {
    if (field.shape === "list") {
      if (!Array.isArray(value)) throw this.#wrongType(value, `[]${goType(field)}`, place);
      return value.map((item, index) =>
        this.#value(field, item, { ...place, path: `${place.path}[${index}]` })
      );
    }
    if (field.shape === "map") {
      if (!isJsonObject(value)) {
        throw this.#wrongType(value, `map[string]${goType(field)}`, place);
      }
      const result: JsonObject = {};
      for (const [key, item] of Object.entries(value)) {
        const path = `${place.path}[${key}]`;
        setOwn(result, key, this.#value(field, item, { ...place, path }));
      }
      return result;
    }
    return this.#value(field, value, place);
  }

  #value(field: FieldSchema, given: unknown, place: Place): unknown {
    // null inside a list or map means the zero value, as it does to Go
    const value = given ?? zeroOf(field.type);
    if (isLeafType(field.type)) {
      const result = readLeaf(field.type, value);
      if (result.ok) return result.value;
      throw this.#leafProblem(result.problem, value, place);
    }
    const schema = messageNamed(field.type);
    if (!isJsonObject(value)) throw this.#wrongType(value, schema.goName, place);
    return this.#message(schema, value, place);
  }

  #leafProblem(problem: LeafProblem, value: unknown, place: Place) {
    if (problem.kind === "value") {
      return this.refused(`${place.path}: ${problem.detail}`, place.path);
    }
    return this.#wrongType(value, problem.expected, place, problem.found);
  }

  #wrongType(value: unknown, expected: string, place: Place, found = jsonTypeOf(value)) {
    const where = `Go struct field ${place.owner}.${place.goPath}`;
    const detail = `json: cannot unmarshal ${found} into ${where} of type ${expected}`;
    return this.refused(detail, place.path);
  }
}

function goType(field: FieldSchema): string {
  return isLeafType(field.type) ? goTypeOfLeaf(field.type) : messageNamed(field.type).goName;
}

function zeroOf(type: string): unknown {
  if (!isLeafType(type)) return {};
  switch (type) {
    case "bool":
      return false;
    case "int32":
    case "int64":
    case "double":
    case "IntOrString":
    case "Quantity":
      return 0;
    case "Time":
    case "MicroTime":
      return "1970-01-01T00:00:00Z";
    case "FieldsV1":
    case "any":
      return {};
    default:
      return "";
  }
}
