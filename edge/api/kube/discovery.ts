/**
 * Kubernetes discovery for the resources the local API shows; plain form, which all clients take.
 */
import type { LocalResource } from "./resources.ts";

export function apiVersions(): object {
  return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] };
}

export function apiGroups(resources: readonly LocalResource[]): object {
  const groups = new Map<string, Set<string>>();
  for (const { group = "", version = "v1" } of resources) {
    if (group !== "") groups.set(group, (groups.get(group) ?? new Set()).add(version));
  }
  return {
    kind: "APIGroupList",
    apiVersion: "v1",
    groups: [...groups].map(([name, known]) => {
      const versions = [...known].map((version) => ({
        groupVersion: `${name}/${version}`,
        version,
      }));
      return { name, versions, preferredVersion: versions[0] };
    }),
  };
}

/** Of the core group, or of the one named; undefined when nothing of it is shown. */
export function apiResources(
  all: readonly LocalResource[],
  group = "",
  version = "v1",
): object | undefined {
  const resources = all.filter((each) =>
    (each.group ?? "") === group && (each.version ?? "v1") === version
  );
  if (resources.length === 0) return undefined;
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: group === "" ? version : `${group}/${version}`,
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
      ...(group === "" ? [POD_LOG] : []),
    ],
  };
}

const POD_LOG = {
  name: "pods/log",
  singularName: "",
  namespaced: true,
  kind: "Pod",
  verbs: ["get"],
};
