/**
 * How lists merge in a strategic merge patch, as data: "Message.field" to the key that names an
 * item, "" for a list of plain values. What is not here is replaced whole. `RETAIN_KEYS` are
 * messages with alternatives in them, for which clients say which keys stay.
 */
const MERGE_KEYS: Readonly<Record<string, string>> = {
  "ObjectMeta.ownerReferences": "uid",
  "ObjectMeta.finalizers": "",
  "PodSpec.containers": "name",
  "PodSpec.initContainers": "name",
  "PodSpec.ephemeralContainers": "name",
  "PodSpec.imagePullSecrets": "name",
  "PodSpec.schedulingGates": "name",
  "PodSpec.volumes": "name",
  "PodSpec.resourceClaims": "name",
  "PodSpec.hostAliases": "ip",
  "PodSpec.topologySpreadConstraints": "topologyKey",
  "Container.ports": "containerPort",
  "Container.env": "name",
  "Container.volumeMounts": "mountPath",
  "Container.volumeDevices": "devicePath",
  "EphemeralContainer.ports": "containerPort",
  "EphemeralContainer.env": "name",
  "EphemeralContainer.volumeMounts": "mountPath",
  "EphemeralContainer.volumeDevices": "devicePath",
  "PodStatus.conditions": "type",
  "PodStatus.podIPs": "ip",
  "PodStatus.hostIPs": "ip",
  "NodeSpec.podCIDRs": "",
  "NodeStatus.conditions": "type",
  "NodeStatus.addresses": "type",
  "NamespaceStatus.conditions": "type",
  "ServiceSpec.ports": "port",
  "ServiceStatus.conditions": "type",
  "ServiceAccount.secrets": "name",
  "ServiceAccount.imagePullSecrets": "name",
  "DeploymentStatus.conditions": "type",
  "DaemonSetStatus.conditions": "type",
  "DeviceSpec.properties": "name",
  "DeviceSpec.methods": "name",
  "DeviceModelSpec.properties": "name",
  "DeviceState.twins": "propertyName",
  "DeviceState.conditions": "type",
  "DeviceStatusReport.twins": "propertyName",
  "DeviceAlphaSpec.propertyVisitors": "propertyName",
  "DeviceAlphaStatus.twins": "propertyName",
  "DeviceModelAlphaSpec.properties": "name",
  "ReplicaSetStatus.conditions": "type",
};

/** The key that names an item; "" merges plain values; undefined replaces the list. */
export function mergeKeyOf(message: string, field: string): string | undefined {
  return MERGE_KEYS[`${message}.${field}`];
}
