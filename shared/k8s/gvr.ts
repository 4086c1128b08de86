/** Names of resources: group, version and plural, as they stand in API paths. */
export interface GroupVersionResource {
  /** "" for the core group. */
  group: string;
  version: string;
  /** Plural, lower case: "pods". */
  resource: string;
}

const devices = (resource: string): GroupVersionResource => ({
  group: "devices.kubeedge.io",
  version: "v1beta1",
  resource,
});

const core = (resource: string): GroupVersionResource => ({ group: "", version: "v1", resource });

export const GVR = {
  namespaces: core("namespaces"),
  nodes: core("nodes"),
  pods: core("pods"),
  configmaps: core("configmaps"),
  secrets: core("secrets"),
  serviceAccounts: core("serviceaccounts"),
  claims: core("persistentvolumeclaims"),
  volumes: core("persistentvolumes"),
  storageClasses: { group: "storage.k8s.io", version: "v1", resource: "storageclasses" },
  runtimeClasses: { group: "node.k8s.io", version: "v1", resource: "runtimeclasses" },
  events: core("events"),
  leases: { group: "coordination.k8s.io", version: "v1", resource: "leases" },
  devices: devices("devices"),
  deviceModels: devices("devicemodels"),
  deviceStatuses: devices("devicestatuses"),
  rules: { group: "rules.kubeedge.io", version: "v1", resource: "rules" },
  ruleEndpoints: { group: "rules.kubeedge.io", version: "v1", resource: "ruleendpoints" },
  imagePrePullJobs: {
    group: "operations.kubeedge.io",
    version: "v1alpha2",
    resource: "imageprepulljobs",
  },
} as const;

/** "/api/v1" or "/apis/<group>/<version>". */
export function groupVersionPath(gvr: { group: string; version: string }): string {
  return gvr.group === "" ? `/api/${gvr.version}` : `/apis/${gvr.group}/${gvr.version}`;
}

/** "v1" or "<group>/<version>". */
export function apiVersionOf(gvr: { group: string; version: string }): string {
  return gvr.group === "" ? gvr.version : `${gvr.group}/${gvr.version}`;
}
