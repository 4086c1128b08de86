/** Patches: strategic merge, JSON merge, JSON patch, apply. */
import type { KubeObject } from "../../../shared/k8s/types.ts";
import type { KindInfo } from "../kinds/kind_info.ts";

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
  force?: boolean;
}

/**
 * The patched object, not yet decoded, defaulted or validated. `original` is undefined only for an
 * apply that creates. Throws AppError: "invalid" with facts.reason "BadRequest" (malformed patch)
 * or "Invalid" (does not fit the object), "conflict" (apply against another manager's field).
 */
export function applyPatch(
  kind: KindInfo,
  original: KubeObject | undefined,
  request: PatchRequest,
): KubeObject {
  void kind;
  return { ...(original ?? { metadata: {} }), ...(request.body as object) }; // replaced below
}
