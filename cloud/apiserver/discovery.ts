/** What the server offers, from the table of kinds: aggregated (v2, v2beta1) and plain. Pure. */
import type { KindInfo, SubresourceInfo } from "./kinds/kind_info.ts";
import { METRICS_RESOURCES } from "./metrics/handle_metrics.ts";
import { parseAccept } from "./negotiate.ts";

/** Resources that are only ever created: questions about oneself. */
export const REVIEW_RESOURCES = [
  review("authentication.k8s.io", "v1", "SelfSubjectReview"),
  // kubectl up to 1.27 asks who it is only in the beta version
  review("authentication.k8s.io", "v1beta1", "SelfSubjectReview"),
  review("authorization.k8s.io", "v1", "SelfSubjectAccessReview"),
  review("authorization.k8s.io", "v1", "SelfSubjectRulesReview"),
];

function review(group: string, version: string, kind: string) {
  return { group, version, kind, plural: `${kind.toLowerCase()}s` };
}

interface Resource {
  group: string;
  version: string;
  kind: string;
  plural: string;
  singular: string;
  namespaced: boolean;
  verbs: readonly string[];
  shortNames: readonly string[];
  categories: readonly string[];
  subresources: readonly SubresourceInfo[];
}

export interface GroupVersions {
  group: string;
  /** Preferred first. */
  versions: string[];
}

export class Discovery {
  readonly #resources: readonly Resource[];

  constructor(kinds: readonly KindInfo[]) {
    const reviews = REVIEW_RESOURCES.map((review): Resource => ({
      ...review,
      singular: review.kind.toLowerCase(),
      namespaced: false,
      verbs: ["create"],
      shortNames: [],
      categories: [],
      subresources: [],
    }));
    const metrics = METRICS_RESOURCES.map((resource): Resource => ({
      ...resource,
      singular: "",
      namespaced: resource.plural === "pods",
      verbs: ["get", "list"],
      shortNames: [],
      categories: [],
      subresources: [],
    }));
    this.#resources = [...kinds, ...reviews, ...metrics];
  }

  /** Named groups (all but the core), in the order of their kinds. */
  groups(): GroupVersions[] {
    const groups = new Map<string, Set<string>>();
    for (const { group, version } of this.#resources) {
      if (group === "") continue;
      groups.set(group, (groups.get(group) ?? new Set()).add(version));
    }
    // v1beta1 < v1 in every group served here: the table lists the preferred version first
    return [...groups].map(([group, versions]) => ({ group, versions: [...versions] }));
  }

  /** Reply of GET /api and /apis when the client asks for the aggregated form. */
  aggregated(core: boolean, version: "v2" | "v2beta1"): unknown {
    const groups = core ? [{ group: "", versions: ["v1"] }] : this.groups();
    return {
      kind: "APIGroupDiscoveryList",
      apiVersion: `apidiscovery.k8s.io/${version}`,
      metadata: {},
      items: groups.map(({ group, versions }) => ({
        metadata: { ...(group === "" ? {} : { name: group }), creationTimestamp: null },
        versions: versions.map((name) => ({
          version: name,
          freshness: "Current",
          resources: this.#of(group, name).map(aggregatedResource),
        })),
      })),
    };
  }

  apiVersions(): unknown {
    return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] };
  }

  groupList(): unknown {
    const groups = this.groups().map(groupEntry);
    return { kind: "APIGroupList", apiVersion: "v1", groups };
  }

  group(name: string): unknown | undefined {
    const found = this.groups().find(({ group }) => group === name);
    return found && { kind: "APIGroup", apiVersion: "v1", ...groupEntry(found) };
  }

  /** Reply of GET /api/v1 and /apis/<group>/<version>. */
  resourceList(group: string, version: string): unknown | undefined {
    const resources = this.#of(group, version);
    if (resources.length === 0) return undefined;
    return {
      kind: "APIResourceList",
      apiVersion: "v1",
      groupVersion: group === "" ? version : `${group}/${version}`,
      resources: resources.flatMap(plainResources),
    };
  }

  #of(group: string, version: string): Resource[] {
    return this.#resources.filter((one) => one.group === group && one.version === version);
  }
}

function groupEntry({ group, versions }: GroupVersions): Record<string, unknown> {
  const entries = versions.map((version) => ({ groupVersion: `${group}/${version}`, version }));
  return { name: group, versions: entries, preferredVersion: entries[0] };
}

function aggregatedResource(resource: Resource): unknown {
  const { group, version, kind, plural, singular, shortNames, categories } = resource;
  return {
    resource: plural,
    responseKind: { group, version, kind },
    scope: resource.namespaced ? "Namespaced" : "Cluster",
    singularResource: singular,
    verbs: resource.verbs,
    ...(shortNames.length > 0 ? { shortNames } : {}),
    ...(categories.length > 0 ? { categories } : {}),
    ...(resource.subresources.length > 0
      ? {
        subresources: resource.subresources.map(({ name, responseKind, verbs }) => ({
          subresource: name,
          responseKind,
          verbs,
        })),
      }
      : {}),
  };
}

function plainResources(resource: Resource): unknown[] {
  const { kind, plural, singular, shortNames, categories, namespaced, verbs } = resource;
  const main = {
    name: plural,
    singularName: singular,
    namespaced,
    kind,
    verbs,
    ...(shortNames.length > 0 ? { shortNames } : {}),
    ...(categories.length > 0 ? { categories } : {}),
  };
  const subresources = resource.subresources.map((sub) => {
    const { group, version } = sub.responseKind;
    const foreign = group !== resource.group || version !== resource.version;
    return {
      name: `${plural}/${sub.name}`,
      singularName: "",
      namespaced,
      ...(foreign ? { group, version } : {}),
      kind: sub.responseKind.kind,
      verbs: sub.verbs,
    };
  });
  return [main, ...subresources];
}

/** The aggregated form a client asks for first, and the Content-Type that says so. */
export function discoveryForm(
  accept: string | null,
): { version: "v2" | "v2beta1"; contentType: string } | undefined {
  for (const { type, parameters } of parseAccept(accept)) {
    if (type !== "application/json" && type !== "*/*") continue;
    const { g, v, as } = parameters;
    if (as === undefined) return undefined;
    if (g !== "apidiscovery.k8s.io" || as !== "APIGroupDiscoveryList") continue;
    if (v === "v2" || v === "v2beta1") {
      const contentType = `application/json;g=apidiscovery.k8s.io;v=${v};as=APIGroupDiscoveryList`;
      return { version: v, contentType };
    }
  }
  return undefined;
}
