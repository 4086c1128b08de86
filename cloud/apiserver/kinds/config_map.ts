/** The ConfigMap: keys, size, and `immutable`, which is for good. */
import type { ConfigMap, KubeObject } from "../../../shared/k8s/types.ts";
import { checkImmutable, DATA_BYTES_MAX } from "./config_data.ts";
import { defineKind } from "./define_kind.ts";
import { type FieldError, invalidValue, tooLong } from "./field_error.ts";
import type { KindInfo } from "./kind_info.ts";
import { utf8Length } from "./metadata.ts";
import { configKeyProblem } from "./names.ts";

const configMap = (object: KubeObject) => object as ConfigMap; // checked by decodeJson()

export const CONFIG_MAP: KindInfo = defineKind({
  kind: "ConfigMap",
  plural: "configmaps",
  shortNames: ["cm"],
  validate: (object) => {
    const errors: FieldError[] = [];
    const { data = {}, binaryData = {} } = configMap(object);
    let bytes = 0;
    for (const [key, value] of Object.entries(data)) {
      bytes += utf8Length(value);
      checkKey(errors, "data", key);
      if (binaryData[key] !== undefined) {
        const detail = "duplicate of key present in binaryData";
        errors.push(invalidValue(`data[${key}]`, key, detail));
      }
    }
    for (const [key, value] of Object.entries(binaryData)) {
      bytes += base64Length(value);
      checkKey(errors, "binaryData", key);
    }
    if (bytes > DATA_BYTES_MAX) errors.push(tooLong("[]", DATA_BYTES_MAX));
    return errors;
  },
  validateUpdate: (object, old) => checkImmutable(object, old, ["data", "binaryData"]),
});

function checkKey(errors: FieldError[], field: string, key: string): void {
  const problem = configKeyProblem(key);
  if (problem) errors.push(invalidValue(`${field}[${key}]`, key, problem));
}

/** Bytes that base64 text stands for. */
export function base64Length(text: string): number {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return Math.max(0, (text.length / 4) * 3 - padding);
}
