/**
 * Server-side tables (application/json;as=Table), what `kubectl get` prints. Pure; ages are
 * reckoned from the caller's "now".
 */
import { isJsonObject, type JsonObject } from "../../json/json.ts";
import type { KubeObject } from "../types.ts";
import { columnsOf } from "./columns.ts";

export type IncludeObject = "None" | "Metadata" | "Object";

export interface TableOptions {
  listMeta?: { resourceVersion?: string; continue?: string; remainingItemCount?: number };
  includeObject: IncludeObject;
  /** Epoch milliseconds, for ages. */
  nowMs: number;
  /** How an object of a row is written, where that is not as it is stored. */
  shown?: (object: KubeObject) => KubeObject;
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

/** For one object of a watch event, pass it alone; its resourceVersion becomes the table's. */
export function toTable(
  kind: string,
  objects: readonly KubeObject[],
  options: TableOptions,
): TableObject {
  const columns = columnsOf(kind);
  const only = objects.length === 1 ? objects[0]?.metadata.resourceVersion : undefined;
  const metadata = options.listMeta ?? (only === undefined ? {} : { resourceVersion: only });
  const withColumns = options.withColumns ?? true;
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: { ...metadata },
    columnDefinitions: !withColumns ? [] : columns.map(({ name, type, priority }) => ({
      name,
      type,
      format: name === "Name" && priority === 0 ? "name" : "",
      description: describe(kind, name),
      priority,
    })),
    rows: objects.map((object) => ({
      cells: columns.map((column) => column.cell(object, options.nowMs)),
      ...conditionsOf(object),
      ...objectOf(options.shown?.(object) ?? object, options.includeObject),
    })),
  };
}

function describe(kind: string, column: string): string {
  return column === "Age" ? "Time since creation." : `${column} of the ${kind}.`;
}

/** Rows of pods that have ended are marked, so that clients can leave them out. */
function conditionsOf(object: KubeObject): JsonObject {
  const status = object["status"];
  if (object.kind !== "Pod" || !isJsonObject(status)) return {};
  const phase = status["phase"];
  if (phase !== "Succeeded" && phase !== "Failed") return {};
  return {
    conditions: [{
      type: "Completed",
      status: "True",
      reason: phase,
      message: `The pod has ${phase === "Failed" ? "failed" : "completed successfully"}.`,
    }],
  };
}

function objectOf(object: KubeObject, include: IncludeObject): JsonObject {
  if (include === "None") return {};
  if (include === "Object") return { object };
  return {
    object: {
      kind: "PartialObjectMetadata",
      apiVersion: "meta.k8s.io/v1",
      metadata: object.metadata,
    },
  };
}
