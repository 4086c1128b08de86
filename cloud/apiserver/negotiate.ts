/**
 * Content negotiation: which form of an object a client asked for (plain JSON, Table, metadata
 * only), and how to write a reply in it. Protobuf is accepted in requests, never sent: every client
 * that prefers it also takes JSON.
 */
import type { KubeObject } from "../../shared/k8s/types.ts";
import type { KindInfo } from "./kinds/kind_info.ts";
import { type IncludeObject, toTable } from "../../shared/k8s/table/to_table.ts";

export type Form =
  | { as: "object" }
  | { as: "metadata" }
  | { as: "table"; includeObject: IncludeObject };

/** One media range of an Accept header. */
export interface MediaRange {
  type: string;
  parameters: Record<string, string>;
}

export function parseAccept(accept: string | null | undefined): MediaRange[] {
  return (accept ?? "").split(",").map((range) => {
    const [type = "", ...rest] = range.split(";").map((part) => part.trim());
    const parameters: Record<string, string> = {};
    for (const parameter of rest) {
      const at = parameter.indexOf("=");
      if (at > 0) parameters[parameter.slice(0, at)] = parameter.slice(at + 1);
    }
    return { type: type.toLowerCase(), parameters };
  }).filter((range) => range.type !== "");
}

const INCLUDE: readonly IncludeObject[] = ["None", "Metadata", "Object"];

/** The first form in `accept` that we can write; plain JSON when none is named. */
export function chooseForm(accept: string | null, includeObject: string | null): Form {
  for (const { type, parameters } of parseAccept(accept)) {
    if (type !== "application/json" && type !== "*/*") continue;
    const { as, g, v } = parameters;
    if (as === undefined) return { as: "object" };
    if (g !== "meta.k8s.io") continue;
    if (as === "Table" && (v === "v1" || v === "v1beta1")) {
      const include = INCLUDE.find((known) => known === includeObject) ?? "Metadata";
      return { as: "table", includeObject: include };
    }
    if ((as === "PartialObjectMetadata" || as === "PartialObjectMetadataList") && v === "v1") {
      return { as: "metadata" };
    }
  }
  return { as: "object" };
}

export function writeObject(
  kind: KindInfo,
  object: KubeObject,
  form: Form,
  nowMs: number,
  withColumns = true,
): unknown {
  if (form.as === "object") return shown(kind, object);
  if (form.as === "metadata") return partial(shown(kind, object));
  const resourceVersion = object.metadata.resourceVersion ?? "";
  return toTable(kind.kind, [object], {
    listMeta: { resourceVersion },
    includeObject: form.includeObject,
    nowMs,
    withColumns,
    shown: (one) => shown(kind, one),
  });
}

/** A stored object as `kind` shows it. */
export function shown(kind: KindInfo, object: KubeObject): KubeObject {
  return kind.view ? kind.view.fromStored(object) : object;
}

/** What a client that asked for metadata only is shown. */
export function partial(object: KubeObject): unknown {
  return {
    kind: "PartialObjectMetadata",
    apiVersion: "meta.k8s.io/v1",
    metadata: object.metadata,
  };
}
