/** The Namespace: Active until it is deleted; its finalizers change only through `finalize`. */
import { isJsonObject } from "../../../shared/json/json.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { defineKind } from "./define_kind.ts";
import type { KindInfo } from "./kind_info.ts";
import { dnsLabelProblem } from "./names.ts";

const RESPONSE = { group: "", version: "v1", kind: "Namespace" };

export const NAMESPACE: KindInfo = defineKind({
  kind: "Namespace",
  plural: "namespaces",
  shortNames: ["ns"],
  namespaced: false,
  nameRule: dnsLabelProblem,
  hasStatus: true,
  subresources: [
    { name: "status", verbs: ["get", "patch", "update"], responseKind: RESPONSE },
    { name: "finalize", verbs: ["update"], responseKind: RESPONSE },
  ],
  fields: { "status.phase": (object) => phaseOf(object) },
  default: (object) => {
    const { name } = object.metadata;
    if (!name) return object;
    const labels = { ...object.metadata.labels, "kubernetes.io/metadata.name": name };
    return { ...object, metadata: { ...object.metadata, labels } };
  },
  prepareCreate: (object) => ({
    ...object,
    spec: { ...(isJsonObject(object["spec"]) ? object["spec"] : {}), finalizers: ["kubernetes"] },
    status: { phase: "Active" },
  }),
  prepareUpdate: (object, old, subresource) => {
    if (subresource !== "finalize") return undefined;
    return { ...old, spec: object["spec"] };
  },
});

function phaseOf(object: KubeObject): unknown {
  return isJsonObject(object["status"]) ? object["status"]["phase"] : undefined;
}
