/** JSON merge patch (RFC 7386): null removes, objects merge, all else replaces. */
import { isJsonObject, type JsonObject, setOwn } from "../../../shared/json/json.ts";

/** The patched value; neither argument is changed. */
export function jsonMerge(original: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return patch;
  const result: JsonObject = isJsonObject(original) ? { ...original } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else {setOwn(
        result,
        key,
        jsonMerge(Object.hasOwn(result, key) ? result[key] : undefined, value),
      );}
  }
  return result;
}
