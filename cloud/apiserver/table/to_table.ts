/** Server-side tables (application/json;as=Table). */
import type { JsonObject } from "../../../shared/json/json.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import type { KindInfo } from "../kinds/kind_info.ts";

export type IncludeObject = "None" | "Metadata" | "Object";

export interface TableOptions {
  listMeta?: { resourceVersion?: string; continue?: string; remainingItemCount?: number };
  includeObject: IncludeObject;
  /** Epoch milliseconds, for ages. */
  nowMs: number;
  /** False for the second and later events of a watch. Default true. */
  withColumns?: boolean;
}

export interface TableObject {
  kind: "Table";
  apiVersion: "meta.k8s.io/v1";
  metadata: JsonObject;
  columnDefinitions: JsonObject[];
  rows: JsonObject[];
}

export function toTable(
  kind: KindInfo,
  objects: readonly KubeObject[],
  options: TableOptions,
): TableObject {
  void kind;
  void objects;
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: { ...options.listMeta },
    columnDefinitions: [],
    rows: [],
  };
}
