/**
 * The four patch formats behind one function. The result is what the client asks for, not yet
 * decoded, defaulted or validated: callers pass it through decodeJson() like any body.
 */
import { cloneJson, isJsonObject, type JsonObject } from "../../../shared/json/json.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import type { KindInfo } from "../kinds/kind_info.ts";
import { badRequest } from "../schema/bad_request.ts";
import { jsonMerge } from "./json_merge.ts";
import { jsonPatch } from "./json_patch.ts";
import { serverSideApply } from "./server_side_apply.ts";
import { strategicMerge } from "./strategic_merge.ts";

export type PatchKind = "strategic" | "merge" | "json" | "apply";

/** Content-Type of a PATCH to its kind. */
export const PATCH_CONTENT_TYPES: Readonly<Record<string, PatchKind>> = {
  "application/strategic-merge-patch+json": "strategic",
  "application/merge-patch+json": "merge",
  "application/json-patch+json": "json",
  "application/apply-patch+yaml": "apply",
};

export interface PatchRequest {
  type: PatchKind;
  /** Parsed JSON (or YAML) body. */
  body: unknown;
  /** Only for apply. */
  fieldManager?: string;
  /** Only for apply: RFC 3339 time for managedFields. */
  now?: string;
  /** Only for apply: take fields from other appliers. */
  force?: boolean;
}

/**
 * The patched object, not yet decoded, defaulted or validated. `original` is undefined only for an
 * apply that creates. Throws AppError: "invalid" with facts.reason "BadRequest" (malformed patch)
 * or "Invalid" (does not fit the object), "conflict" with facts.reason "FieldManagerConflict"
 * (apply against another applier's field; facts.field names the paths).
 */
export function applyPatch(
  kind: KindInfo,
  original: KubeObject | undefined,
  request: PatchRequest,
): KubeObject {
  const body = cloneJson(request.body);
  if (request.type === "apply") {
    if (!request.fieldManager) {
      throw badRequest("fieldManager: Required value: is required for apply patch");
    }
    return serverSideApply(original, objectBody(body), {
      schema: kind.schema,
      fieldManager: request.fieldManager,
      now: request.now ?? "1970-01-01T00:00:00Z",
      force: request.force ?? false,
    });
  }
  if (!original) throw badRequest("only an apply patch can create an object");
  if (request.type === "json") return patched(jsonPatch(original, body));
  const patch = objectBody(body);
  if (request.type === "merge") return patched(jsonMerge(original, patch));
  return patched(strategicMerge(kind.schema, original, patch));
}

function objectBody(body: unknown): JsonObject {
  if (isJsonObject(body)) return body;
  throw badRequest("error decoding patch: the body must be a JSON object");
}

function patched(value: unknown): KubeObject {
  if (isJsonObject(value) && isJsonObject(value["metadata"])) return { metadata: {}, ...value };
  throw badRequest("error applying patch: the result must be an object with metadata");
}
