/** The Pod: names, selectable fields, first status; its rules come from the files beside it. */
import type { KubeObject, Pod } from "../../../shared/k8s/types.ts";
import { defineKind } from "./define_kind.ts";
import type { KindInfo } from "./kind_info.ts";
import { defaultPod } from "./pod_defaults.ts";
import { qosClassOf } from "./pod_qos.ts";
import { validateEphemeralUpdate, withEphemeral } from "./pod_ephemeral.ts";
import { validatePodUpdate } from "./pod_update.ts";
import { validatePodCreate, validatePodSpec } from "./pod_validation.ts";

const pod = (object: KubeObject) => object as Pod; // its shape was checked by decodeJson()

export const POD: KindInfo = defineKind({
  kind: "Pod",
  plural: "pods",
  shortNames: ["po"],
  categories: ["all"],
  hasStatus: true,
  generationFields: ["spec"],
  subresources: [
    {
      name: "status",
      verbs: ["get", "patch", "update"],
      responseKind: { group: "", version: "v1", kind: "Pod" },
    },
    {
      name: "log",
      verbs: ["get"],
      responseKind: { group: "", version: "v1", kind: "Pod" },
    },
    {
      name: "binding",
      verbs: ["create"],
      responseKind: { group: "", version: "v1", kind: "Binding" },
    },
    {
      name: "ephemeralcontainers",
      verbs: ["get", "patch", "update"],
      responseKind: { group: "", version: "v1", kind: "Pod" },
    },
    {
      name: "eviction",
      verbs: ["create"],
      responseKind: { group: "policy", version: "v1", kind: "Eviction" },
    },
  ],
  fields: {
    "spec.nodeName": (object) => pod(object).spec.nodeName,
    "spec.restartPolicy": (object) => pod(object).spec.restartPolicy,
    "spec.schedulerName": (object) => pod(object).spec.schedulerName,
    "spec.serviceAccountName": (object) => pod(object).spec.serviceAccountName,
    "spec.hostNetwork": (object) => pod(object).spec.hostNetwork === true,
    "status.phase": (object) => pod(object).status?.phase,
    "status.podIP": (object) => pod(object).status?.podIP,
    "status.nominatedNodeName": (object) => {
      const status = pod(object).status as { nominatedNodeName?: string } | undefined; // not typed
      return status?.nominatedNodeName;
    },
  },
  default: defaultPod,
  prepareCreate: (object) => ({
    ...object,
    status: { phase: "Pending", qosClass: qosClassOf(pod(object).spec) },
  }),
  prepareUpdate: (object, old, subresource) =>
    subresource === "binding"
      ? bind(object, old)
      : subresource === "ephemeralcontainers"
      ? withEphemeral(pod(object), pod(old))
      : undefined,
  validate: (object) => validatePodSpec(pod(object)),
  validateCreate: (object) => validatePodCreate(pod(object)),
  validateUpdate: (object, old) => validatePodUpdate(pod(object), pod(old)),
  validateSubresource: (object, old, subresource) =>
    subresource === "ephemeralcontainers" ? validateEphemeralUpdate(pod(object), pod(old)) : [],
});

/** A binding changes where the pod runs and nothing else. */
function bind(object: KubeObject, old: KubeObject): KubeObject {
  const nodeName = pod(object).spec.nodeName;
  const generation = (old.metadata.generation ?? 0) + 1;
  return {
    ...old,
    metadata: { ...old.metadata, generation },
    spec: { ...pod(old).spec, ...(nodeName === undefined ? {} : { nodeName }) },
  };
}
