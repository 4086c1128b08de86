/** The paths of one kind, with what clients look for in them: verbs, parameters, patch formats. */
import type { JsonObject } from "../../../shared/json/json.ts";
import { groupVersionPath } from "../../../shared/k8s/gvr.ts";
import type { KindInfo } from "../kinds/kind_info.ts";
import { PATCH_CONTENT_TYPES } from "../patch/apply_patch.ts";
import { messageNamed } from "../schema/message_table.ts";
import { gvkOf } from "./schemas.ts";

const query = (name: string, type: string, description: string): JsonObject => ({
  name,
  in: "query",
  description,
  schema: { type, uniqueItems: true },
});

const WRITE_PARAMETERS = [
  query("dryRun", "string", "All: do everything but store it."),
  query("fieldManager", "string", "Who makes the change."),
  query("fieldValidation", "string", "Strict, Warn or Ignore: what to do with unknown fields."),
];
const LIST_PARAMETERS = [
  query("labelSelector", "string", "Only objects whose labels fit."),
  query("fieldSelector", "string", "Only objects whose fields fit."),
  query("limit", "integer", "The most objects in one reply."),
  query("continue", "string", "Where the reply before ended."),
  query("resourceVersion", "string", "The version to begin at."),
  query("watch", "boolean", "Stream changes."),
];

export function pathsOf(kind: KindInfo): JsonObject {
  const base = groupVersionPath(kind);
  const collection = kind.namespaced
    ? `${base}/namespaces/{namespace}/${kind.plural}`
    : `${base}/${kind.plural}`;
  const paths: JsonObject = {
    [collection]: {
      get: operation(kind, "list", { parameters: LIST_PARAMETERS }),
      post: operation(kind, "post", { parameters: WRITE_PARAMETERS, requestBody: body(kind) }),
      delete: operation(kind, "deletecollection", { parameters: LIST_PARAMETERS }),
      parameters: pathParameters(kind, false),
    },
    [`${collection}/{name}`]: {
      ...itemOperations(kind),
      delete: operation(kind, "delete", { parameters: WRITE_PARAMETERS.slice(0, 1) }),
      parameters: pathParameters(kind, true),
    },
  };
  if (kind.namespaced) {
    const list = operation(kind, "list", { parameters: LIST_PARAMETERS });
    paths[`${base}/${kind.plural}`] = { get: list };
  }
  if (kind.hasStatus) {
    paths[`${collection}/{name}/status`] = {
      ...itemOperations(kind),
      parameters: pathParameters(kind, true),
    };
  }
  return paths;
}

function itemOperations(kind: KindInfo): JsonObject {
  const force = query("force", "boolean", "Take fields from other appliers. Apply patches only.");
  return {
    get: operation(kind, "get", {}),
    put: operation(kind, "put", { parameters: WRITE_PARAMETERS, requestBody: body(kind) }),
    patch: operation(kind, "patch", {
      parameters: [...WRITE_PARAMETERS, force],
      requestBody: {
        content: Object.fromEntries(
          Object.keys(PATCH_CONTENT_TYPES).map((type) => [type, { schema: { type: "object" } }]),
        ),
        required: true,
      },
    }),
  };
}

function operation(kind: KindInfo, action: string, rest: JsonObject): JsonObject {
  return {
    tags: [`${kind.group === "" ? "core" : kind.group}_${kind.version}`],
    operationId: `${action}${kind.kind}`,
    ...rest,
    responses: { "200": { description: "OK", content: jsonContent(kind) } },
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": gvkOf(kind),
  };
}

function body(kind: KindInfo): JsonObject {
  return { content: jsonContent(kind), required: true };
}

function jsonContent(kind: KindInfo): JsonObject {
  const ref = `#/components/schemas/${messageNamed(kind.schema).fullName}`;
  return { "application/json": { schema: { $ref: ref } } };
}

function pathParameters(kind: KindInfo, withName: boolean): JsonObject[] {
  const names = [...(withName ? ["name"] : []), ...(kind.namespaced ? ["namespace"] : [])];
  return names.map((name) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string", uniqueItems: true },
  }));
}
