/**
 * Kubernetes discovery for the resources the local API shows; plain form, which all clients take.
 */
import type { LocalResource } from "./resources.ts";

export function apiVersions(): object {
  return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] };
}

/** No group besides the core one is shown yet. */
export function apiGroups(): object {
  return { kind: "APIGroupList", apiVersion: "v1", groups: [] };
}

export function apiResources(resources: readonly LocalResource[]): object {
  return {
    kind: "APIResourceList",
    groupVersion: "v1",
    resources: [
      ...resources.map((resource) => ({
        name: resource.plural,
        singularName: resource.singular,
        namespaced: resource.namespaced,
        kind: resource.kind,
        verbs: [...resource.plural === "pods" ? ["delete"] : [], "get", "list", "watch"],
        shortNames: resource.shortNames,
        ...(resource.plural === "pods" ? { categories: ["all"] } : {}),
      })),
      { name: "pods/log", singularName: "", namespaced: true, kind: "Pod", verbs: ["get"] },
    ],
  };
}
