/** The Node. It brings its own status when it is created, as agents register whole. */
import { cloneJson, isJsonObject } from "../../../shared/json/json.ts";
import type { KubeObject, Node } from "../../../shared/k8s/types.ts";
import { defineKind } from "./define_kind.ts";
import { type FieldError, forbidden } from "./field_error.ts";
import type { KindInfo } from "./kind_info.ts";
import { checkQuantity } from "./resources_validation.ts";
import { checkTaints } from "./scheduling_validation.ts";

const node = (object: KubeObject) => object as Node; // its shape was checked by decodeJson()

export const NODE: KindInfo = defineKind({
  kind: "Node",
  plural: "nodes",
  shortNames: ["no"],
  namespaced: false,
  hasStatus: true,
  subresources: [
    {
      name: "status",
      verbs: ["get", "patch", "update"],
      responseKind: { group: "", version: "v1", kind: "Node" },
    },
  ],
  fields: { "spec.unschedulable": (object) => node(object).spec?.unschedulable === true },
  default: defaultNode,
  validate: (object) => {
    const errors: FieldError[] = [];
    checkTaints(errors, "spec.taints", node(object).spec?.taints ?? []);
    for (const key of ["capacity", "allocatable"] as const) {
      for (const [name, value] of Object.entries(node(object).status?.[key] ?? {})) {
        checkQuantity(errors, `status.${key}.${name}`, value);
      }
    }
    return errors;
  },
  validateUpdate: (object, old) => {
    const before = node(old).spec?.providerID;
    if (!before || node(object).spec?.providerID === before) return [];
    const detail = 'node updates may not change providerID except from "" to valid';
    return [forbidden("spec.providerID", detail)];
  },
});

/** What can be given out is all there is, unless the node says otherwise. */
function defaultNode(object: KubeObject): KubeObject {
  const status = object["status"];
  if (!isJsonObject(status) || !isJsonObject(status["capacity"]) || status["allocatable"]) {
    return object;
  }
  return { ...object, status: { ...status, allocatable: cloneJson(status["capacity"]) } };
}
