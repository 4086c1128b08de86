/**
 * The annotation that holds what v1beta1 cannot say, or says in another way: parts of the v1alpha2
 * object as they were written. A part is used again only while it still converts to what is stored,
 * so a later change at v1beta1 is never hidden by an old text. Pure.
 */
import { isJsonObject, type JsonObject } from "../../json/json.ts";
import type { ObjectMeta } from "../../k8s/types.ts";

export const KEPT_ANNOTATION = "devices.skerry.dev/v1alpha2";

export function keptOf(metadata: ObjectMeta): JsonObject {
  const text = metadata.annotations?.[KEPT_ANNOTATION];
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : {};
  } catch {
    return {}; // somebody edited it: what is stored still converts, only less faithfully
  }
}

/** The metadata with `kept` in its annotation, or without one where there is nothing to keep. */
export function withKept(metadata: ObjectMeta, kept: JsonObject): ObjectMeta {
  const bare = withoutKept(metadata);
  if (Object.keys(kept).length === 0) return bare;
  const annotations = { ...bare.annotations, [KEPT_ANNOTATION]: JSON.stringify(kept) };
  return { ...bare, annotations };
}

export function withoutKept(metadata: ObjectMeta): ObjectMeta {
  if (metadata.annotations?.[KEPT_ANNOTATION] === undefined) return metadata;
  const { [KEPT_ANNOTATION]: _, ...annotations } = metadata.annotations;
  const { annotations: __, ...rest } = metadata;
  return Object.keys(annotations).length === 0 ? rest : { ...rest, annotations };
}
