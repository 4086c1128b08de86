/** Volumes, claims and classes as the binder and the scheduler read them. */
import type { KubeObject, NodeSelectorTerm } from "../../shared/k8s/types.ts";

export interface ClaimRef {
  apiVersion?: string;
  kind?: string;
  namespace?: string;
  name?: string;
  uid?: string;
  resourceVersion?: string;
}

export interface VolumeObject extends KubeObject {
  spec?: {
    capacity?: { storage?: string };
    accessModes?: string[];
    claimRef?: ClaimRef;
    storageClassName?: string;
    volumeMode?: string;
    nodeAffinity?: { required?: { nodeSelectorTerms?: NodeSelectorTerm[] } };
    [field: string]: unknown;
  };
  status?: { phase?: string; [field: string]: unknown };
}

export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

export interface ClaimObject extends KubeObject {
  spec?: {
    accessModes?: string[];
    selector?: LabelSelector;
    resources?: { requests?: { storage?: string } };
    volumeName?: string;
    storageClassName?: string;
    volumeMode?: string;
    [field: string]: unknown;
  };
  status?: { phase?: string; [field: string]: unknown };
}

export interface ClassObject extends KubeObject {
  volumeBindingMode?: string;
}

/** The scheduler's word to the binder: where the first pod of a claim shall run. */
export const SELECTED_NODE = "volume.kubernetes.io/selected-node";
