/**
 * RuntimeClass: a name for one of the runtimes of a node (`handler`), with what its sandboxes cost
 * and where they may run. Which handlers a node's runtime knows is the node's own configuration.
 */
import { deepEqual, isJsonObject, type JsonObject } from "../../../shared/json/json.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { checkName } from "./checks.ts";
import { defineKind } from "./define_kind.ts";
import { type FieldError, invalidValue } from "./field_error.ts";
import type { KindInfo } from "./kind_info.ts";
import { dnsLabelProblem } from "./names.ts";
import { checkQuantity } from "./resources_validation.ts";

export const RUNTIME_CLASS: KindInfo = defineKind({
  group: "node.k8s.io",
  kind: "RuntimeClass",
  plural: "runtimeclasses",
  namespaced: false,
  validate: (object) => {
    const errors: FieldError[] = [];
    const { handler } = object;
    checkName(errors, "handler", typeof handler === "string" ? handler : "", dnsLabelProblem);
    for (const [resource, amount] of Object.entries(overheadOf(object))) {
      checkQuantity(errors, `overhead.podFixed[${resource}]`, String(amount));
    }
    return errors;
  },
  validateUpdate: (object, old) =>
    deepEqual(object.handler, old.handler)
      ? []
      : [invalidValue("handler", object.handler, "field is immutable")],
});

function overheadOf(object: KubeObject): JsonObject {
  const fixed = isJsonObject(object.overhead) ? object.overhead.podFixed : undefined;
  return isJsonObject(fixed) ? fixed : {};
}
