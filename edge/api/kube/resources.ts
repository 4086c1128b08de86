/** The Kubernetes resources the local API shows, as a table. */
import type { KubeObject } from "../../../shared/k8s/types.ts";
import type { Twins } from "../../twins/port.ts";
import type { EdgeFacts, LocalObjects, LocalPods } from "../port.ts";
import { deviceResources } from "./devices.ts";

export interface LocalResource {
  /** "" and "v1", when left out. */
  group?: string;
  version?: string;
  plural: string;
  singular: string;
  kind: string;
  shortNames: string[];
  namespaced: boolean;
  /** Paths a field selector may name, besides metadata.name and metadata.namespace. */
  selectableFields: string[];
  /** All objects of the resource, whole, with apiVersion and kind set. */
  list(): KubeObject[];
}

export interface ResourceSources {
  pods: LocalPods;
  objects: LocalObjects;
  facts: EdgeFacts;
  devices?: () => Twins | undefined;
}

export function apiVersionOfResource({ group = "", version = "v1" }: LocalResource): string {
  return group === "" ? version : `${group}/${version}`;
}

export function localResources(sources: ResourceSources): LocalResource[] {
  const typed = (kind: string, objects: KubeObject[]): KubeObject[] =>
    objects.map((object) => ({ ...object, apiVersion: "v1", kind }));
  return [
    {
      plural: "pods",
      singular: "pod",
      kind: "Pod",
      shortNames: ["po"],
      namespaced: true,
      selectableFields: ["spec.nodeName", "spec.restartPolicy", "status.phase", "status.podIP"],
      list: () => typed("Pod", sources.pods.list()),
    },
    {
      plural: "nodes",
      singular: "node",
      kind: "Node",
      shortNames: ["no"],
      namespaced: false,
      selectableFields: ["spec.unschedulable"],
      list: () => typed("Node", [sources.facts.node()]),
    },
    {
      plural: "configmaps",
      singular: "configmap",
      kind: "ConfigMap",
      shortNames: ["cm"],
      namespaced: true,
      selectableFields: [],
      list: () => typed("ConfigMap", sources.objects.list("configmaps")),
    },
    {
      plural: "secrets",
      singular: "secret",
      kind: "Secret",
      shortNames: [],
      namespaced: true,
      selectableFields: ["type"],
      list: () => typed("Secret", sources.objects.list("secrets").map(withoutSecrets)),
    },
    {
      plural: "events",
      singular: "event",
      kind: "Event",
      shortNames: ["ev"],
      namespaced: true,
      selectableFields: EVENT_FIELDS,
      list: () => typed("Event", sources.facts.events()),
    },
    ...deviceResources(sources.objects, sources.devices ?? (() => undefined)),
  ];
}

const EVENT_FIELDS = [
  ...["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"].map(
    (field) => `involvedObject.${field}`,
  ),
  "reason",
  "reportingComponent",
  "type",
];

/**
 * A secret by name only: whoever can reach the local API learns that it is there, not what it says.
 */
function withoutSecrets(secret: KubeObject): KubeObject {
  const { data: _data, stringData: _stringData, ...rest } = secret;
  const { annotations: _annotations, ...metadata } = rest.metadata; // last-applied repeats the data
  return { ...rest, metadata };
}
