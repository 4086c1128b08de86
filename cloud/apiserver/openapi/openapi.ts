/**
 * OpenAPI v3 documents, one per group and version, made from the schema tables and the kinds: what
 * kubectl needs to validate, explain and build patches. OpenAPI v2 is served empty on purpose: a
 * zero-byte reply with the right Content-Type satisfies every kubectl. Documents are made once, at
 * the first question.
 */
import { canonicalJson, type JsonObject } from "../../../shared/json/json.ts";
import type { KindInfo } from "../kinds/kind_info.ts";
import { allKinds } from "../kinds/registry.ts";
import { type FieldSchema, isLeafType, messageNamed } from "../schema/message_table.ts";
import { pathsOf } from "./paths.ts";
import { schemaOf } from "./schemas.ts";

/** Content-Type of the zero-byte /openapi/v2 reply. */
export const OPENAPI_V2_CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

const documents = new Map<string, JsonObject>();

/** Reply of GET /openapi/v3: {"paths": {"api/v1": {"serverRelativeURL": …}}}. */
export function openapiIndex(): JsonObject {
  const paths: JsonObject = {};
  for (const { group, version } of allKinds()) {
    const path = group === "" ? `api/${version}` : `apis/${group}/${version}`;
    if (paths[path] !== undefined) continue;
    const hash = digest(canonicalJson(openapiDocument(group, version)));
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
  }
  return { paths };
}

/** Reply of GET /openapi/v3/api/v1 or /openapi/v3/apis/<group>/<version>. */
export function openapiDocument(group: string, version: string): JsonObject | undefined {
  const key = `${group}/${version}`;
  const found = documents.get(key);
  if (found) return found;
  const kinds = allKinds().filter((kind) => kind.group === group && kind.version === version);
  if (kinds.length === 0) return undefined;
  const document = makeDocument(kinds);
  documents.set(key, document);
  return document;
}

function makeDocument(kinds: readonly KindInfo[]): JsonObject {
  const schemas: JsonObject = {};
  for (const name of reachable(kinds.map((kind) => kind.schema))) {
    const kind = kinds.find((candidate) => candidate.schema === name);
    schemas[messageNamed(name).fullName] = schemaOf(messageNamed(name), kind);
  }
  return {
    openapi: "3.0.0",
    info: { title: "Skerry", version: "v1" },
    paths: Object.assign({}, ...kinds.map(pathsOf)) as JsonObject, // each part is one
    components: { schemas },
  };
}

/** The messages named, and all they hold, sorted. */
function reachable(roots: readonly string[]): string[] {
  const seen = new Set<string>();
  const waiting = [...roots];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    for (const field of messageNamed(name).fields.values()) {
      if (isMessage(field)) waiting.push(field.type);
    }
  }
  return [...seen].sort();
}

function isMessage(field: FieldSchema): boolean {
  return !isLeafType(field.type);
}

/** FNV-1a, 64 bits, in hex: names a version of a document, guards nothing. */
function digest(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash.toString(16).padStart(16, "0").toUpperCase();
}
