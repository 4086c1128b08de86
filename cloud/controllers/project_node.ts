/**
 * What one node must hold: its own Node object, the pods bound to it (also while they terminate and
 * after they ended, until they are deleted), every ConfigMap, Secret, claim and RuntimeClass
 * those pods name, the volumes behind the claims, and the service account tokens the pods ask for.
 *
 * What travels is not what is stored. A pod's and the node's status is written by the node itself;
 * if it counted, each report up would send an object down again. So the version of an item is a
 * digest of its *versioned part*: identity, the metadata people set, spec and data; never status,
 * resourceVersion or managedFields. The status of a pod that has ended travels along outside the
 * version: a node that lost its own records must see that this pod is not to be run again.
 */
import type { Device } from "../../shared/k8s/devices.ts";
import { apiVersionOf, GVR } from "../../shared/k8s/gvr.ts";
import { isMirror } from "../../shared/k8s/mirror.ts";
import type { ImagePrePullJob } from "../../shared/k8s/prepull.ts";
import type { Container, KubeObject, Node, Pod, Volume } from "../../shared/k8s/types.ts";
import type { DesiredItem } from "../../shared/wire/desired.ts";
import { objectKey, parseObjectKey, qualifiedResource } from "../../shared/wire/keys.ts";
import { deviceKey, modelKey } from "./device_index.ts";
import { prePullForNode, prePullKey, prePullSecretKey } from "./prepull_index.ts";
import { isLinkTaint } from "./taints.ts";

export interface NodeWorld {
  node: Node | undefined;
  pods: Iterable<Pod>;
  devices?: Iterable<Device>;
  /** Jobs this node is at work on. */
  prePulls?: Iterable<ImagePrePullJob>;
  /** The object behind a key that `neededKeys` gave, its volume or a model, if it is there. */
  find(key: string): KubeObject | undefined;
  /** Makes (or takes from a cache) the travelling item of an object. */
  item(key: string, object: KubeObject): DesiredItem;
  /** The tokens of a pod; undefined when it asks for none, or its account is not there. */
  tokens?(pod: Pod): DesiredItem | undefined;
}

export function projectNode(world: NodeWorld): Map<string, DesiredItem> {
  const items = new Map<string, DesiredItem>();
  const add = (key: string, object: KubeObject) => items.set(key, world.item(key, object));
  if (world.node) add(nodeKey(world.node.metadata.name ?? ""), world.node);
  for (const pod of world.pods) {
    // It came from the node.
    if (isMirror(pod)) continue;
    add(podKey(pod), pod);
    for (const key of neededKeys(pod)) {
      if (items.has(key)) continue;
      const object = world.find(key);
      // Absent: the pod waits for it at the node, as it would under kubelet.
      if (!object) continue;
      add(key, object);
      const volume = volumeKey(object);
      const found = volume === undefined ? undefined : world.find(volume);
      if (volume !== undefined && found) add(volume, found);
    }
    const tokens = world.tokens?.(pod);
    if (tokens) items.set(tokens.key, tokens);
  }
  for (const device of world.devices ?? []) {
    add(deviceKey(device), device);
    const key = modelKey(device);
    if (key === undefined || items.has(key)) continue;
    const model = world.find(key);
    if (model) add(key, model);
  }
  for (const job of world.prePulls ?? []) {
    add(prePullKey(job), job);
    const secret = prePullSecretKey(job);
    const found = secret === undefined || items.has(secret) ? undefined : world.find(secret);
    if (secret !== undefined && found) add(secret, found);
  }
  return items;
}

export function nodeKey(name: string): string {
  return objectKey(GVR.nodes, undefined, name);
}

export function podKey(pod: Pod): string {
  return objectKey(GVR.pods, pod.metadata.namespace, pod.metadata.name ?? "");
}

/** Key of the volume a claim is bound to; undefined for other objects, and before it is bound. */
function volumeKey(object: KubeObject): string | undefined {
  if (!("volumeName" in Object(object.spec))) return undefined;
  const { volumeName } = object.spec as { volumeName?: string }; // by the line above
  return volumeName ? objectKey(GVR.volumes, undefined, volumeName) : undefined;
}

/** Keys of the ConfigMaps, Secrets, claims and RuntimeClass a pod names, each once. */
export function neededKeys(pod: Pod): string[] {
  const keys = new Set<string>();
  const namespace = pod.metadata.namespace;
  const names: Names = {
    configMap: (name) => name && keys.add(objectKey(GVR.configmaps, namespace, name)),
    secret: (name) => name && keys.add(objectKey(GVR.secrets, namespace, name)),
    claim: (name) => name && keys.add(objectKey(GVR.claims, namespace, name)),
  };
  for (const volume of pod.spec.volumes ?? []) namesOfVolume(volume, names);
  for (const container of allContainers(pod)) namesOfContainer(container, names);
  for (const reference of pod.spec.imagePullSecrets ?? []) names.secret(reference.name);
  const { runtimeClassName } = pod.spec;
  if (runtimeClassName) keys.add(objectKey(GVR.runtimeClasses, undefined, runtimeClassName));
  return [...keys];
}

interface Names {
  configMap(name: string | undefined): unknown;
  secret(name: string | undefined): unknown;
  claim(name: string | undefined): unknown;
}

function allContainers(pod: Pod): Container[] {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec;
  return [...initContainers, ...containers, ...ephemeralContainers];
}

interface ProjectedSource {
  configMap?: { name?: string };
  secret?: { name?: string };
}

/** Volume drivers whose own credentials are a Secret of the pod's namespace. */
const SECRET_REF_DRIVERS = ["cephfs", "rbd", "iscsi", "scaleIO", "storageos", "flexVolume"];

function namesOfVolume(volume: Volume, names: Names): void {
  names.configMap(volume.configMap?.name);
  names.secret(volume.secret?.secretName);
  const claimed = volume.persistentVolumeClaim as { claimName?: string } | undefined; // core/v1
  names.claim(claimed?.claimName);
  const projected = volume.projected as { sources?: ProjectedSource[] } | undefined; // core/v1
  for (const source of projected?.sources ?? []) {
    names.configMap(source.configMap?.name);
    names.secret(source.secret?.name);
  }
  for (const driver of SECRET_REF_DRIVERS) {
    const options = volume[driver] as { secretRef?: { name?: string } } | undefined; // core/v1
    names.secret(options?.secretRef?.name);
  }
  const azure = volume.azureFile as { secretName?: string } | undefined; // core/v1
  names.secret(azure?.secretName);
  const csi = volume.csi as { nodePublishSecretRef?: { name?: string } } | undefined; // core/v1
  names.secret(csi?.nodePublishSecretRef?.name);
}

function namesOfContainer(container: Container, names: Names): void {
  for (const source of container.envFrom ?? []) {
    names.configMap(source.configMapRef?.name);
    names.secret(source.secretRef?.name);
  }
  for (const { valueFrom } of container.env ?? []) {
    names.configMap(valueFrom?.configMapKeyRef?.name);
    names.secret(valueFrom?.secretKeyRef?.name);
  }
}

const PREPULLS = qualifiedResource(GVR.imagePrePullJobs);

/** Lists leave apiVersion and kind out of their items; what travels says them always. */
const KIND_OF: Record<string, string> = {
  nodes: "Node",
  pods: "Pod",
  configmaps: "ConfigMap",
  secrets: "Secret",
  persistentvolumeclaims: "PersistentVolumeClaim",
  persistentvolumes: "PersistentVolume",
  [qualifiedResource(GVR.runtimeClasses)]: "RuntimeClass",
  [PREPULLS]: "ImagePrePullJob",
  [qualifiedResource(GVR.devices)]: "Device",
  [qualifiedResource(GVR.deviceModels)]: "DeviceModel",
};

const DEVICE_RESOURCES = new Set([GVR.devices, GVR.deviceModels].map(qualifiedResource));
/** As large as the object itself, and of use only to the client that wrote it. */
const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

/** The object as it travels: without managedFields, and without status unless a pod has ended. */
export function travelForm(key: string, object: KubeObject): KubeObject {
  const resource = parseObjectKey(key).resource;
  if (resource === PREPULLS) {
    const job = prePullForNode(object as ImagePrePullJob); // the key's resource says so
    return { apiVersion: apiVersionOf(GVR.imagePrePullJobs), kind: "ImagePrePullJob", ...job };
  }
  const { managedFields: _, ...metadata } = object.metadata as Record<string, unknown>;
  const kept = metadata as KubeObject["metadata"]; // one unknown field less
  const isDevice = DEVICE_RESOURCES.has(resource);
  const { status, ...rest } = object;
  // only pods' and claims' is looked at
  const phase = (status as { phase?: string } | undefined)?.phase;
  const ended = resource === "pods" && (phase === "Succeeded" || phase === "Failed");
  const travelling: KubeObject = {
    ...rest,
    apiVersion: object.apiVersion ?? (isDevice ? apiVersionOf(GVR.devices) : "v1"),
    kind: object.kind ?? KIND_OF[resource] ?? "",
    metadata: isDevice ? withoutLastApplied(kept) : kept,
    ...(ended ? { status } : {}),
    ...(resource === GVR.claims.resource ? { status: { phase } } : {}),
  };
  return resource === "nodes" ? withoutLinkTaints(travelling) : travelling;
}

/** A node may hold thousands of devices: what it has no use for stays here. */
function withoutLastApplied(metadata: KubeObject["metadata"]): KubeObject["metadata"] {
  if (metadata.annotations?.[LAST_APPLIED] === undefined) return metadata;
  const { [LAST_APPLIED]: _, ...annotations } = metadata.annotations;
  return { ...metadata, annotations };
}

/** The part of a travelling object whose digest is the item's version. */
export function versionedPart(travelling: KubeObject): unknown {
  const { status, metadata, ...rest } = travelling;
  // metadata.generation rises only with what is in the digest anyway, or with a link taint.
  const { resourceVersion: __, generation: ___, ...versioned } = metadata;
  // A claim's phase is written here and nowhere else, and the node waits for it.
  const isClaim = travelling.kind === "PersistentVolumeClaim";
  return { ...rest, metadata: versioned, ...(isClaim ? { status } : {}) };
}

/**
 * Taints that only say how the cloud sees the link are of no use at the node, and would cost two
 * generations at each reconnect. An empty list they leave behind counts as none.
 */
function withoutLinkTaints(object: KubeObject): KubeObject {
  const node = object as Node; // the key's resource is "nodes"
  if (!node.spec?.taints) return object;
  const { taints, ...spec } = node.spec;
  const kept = taints.filter((taint) => !isLinkTaint(taint));
  return { ...node, spec: kept.length > 0 ? { ...spec, taints: kept } : spec };
}
