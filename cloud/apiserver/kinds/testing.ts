/** For tests of kinds: an object as it comes out of a create, and errors as one line each. */
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { decodeJson } from "../schema/decode_json.ts";
import type { FieldError } from "./field_error.ts";
import type { KindInfo } from "./kind_info.ts";

/** Decoded strictly, defaulted and prepared, as the handlers do it. */
export function created(kind: KindInfo, body: unknown): KubeObject {
  const { object } = decodeJson(kind, body, { fieldValidation: "Strict" });
  return kind.prepareCreate(kind.default(object));
}

/** "field: message", sorted. */
export function lines(errors: readonly FieldError[]): string[] {
  return errors.map(({ field, message }) => `${field}: ${message}`).sort();
}

/** A pod with one container; `spec` and `container` are laid over. */
export function podBody(spec: object = {}, container: object = {}): Record<string, unknown> {
  return {
    metadata: { name: "web", namespace: "default" },
    spec: { containers: [{ name: "main", image: "nginx:1.27", ...container }], ...spec },
  };
}
