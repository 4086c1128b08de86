/**
 * ImagePrePullJob of operations.kubeedge.io/v1alpha2: images that chosen nodes shall have before
 * any pod asks for them. The cloud's controller writes `status.phase` and starts nodes; a node's
 * `imageStatus` comes from its report. What was stored has been checked by the API server.
 */
import type { KubeObject, NodeSelectorRequirement } from "./types.ts";

export interface PrePullSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: NodeSelectorRequirement[];
}

export type PrePullCheck = "cpu" | "mem" | "disk";

export interface PrePullTemplate {
  images?: string[];
  nodeNames?: string[];
  labelSelector?: PrePullSelector;
  checkItems?: PrePullCheck[];
  /** The share of the nodes that may fail: "0.1". */
  failureTolerate?: string;
  /** Nodes at work at once. */
  concurrency?: number;
  /** What a node may take, from when it was started. */
  timeoutSeconds?: number;
  /** "namespace/name" of a pull secret. */
  imageSecrets?: string;
  /** Tries after the first, for each image. */
  retryTimes?: number;
}

export interface PrePullImage {
  image: string;
  status: "True" | "False" | "Unknown";
  reason?: string;
}

export interface PrePullAction {
  action: "Init" | "Check" | "Pull";
  status: "True" | "False";
  reason?: string;
  time: string;
}

export type PrePullNodePhase = "Pending" | "InProgress" | "Successful" | "Failure" | "Unknown";

export interface PrePullNode {
  nodeName: string;
  phase: PrePullNodePhase;
  reason?: string;
  actionFlow?: PrePullAction[];
  imageStatus?: PrePullImage[];
}

export interface PrePullStatus {
  phase?: "Init" | "InProgress" | "Completed" | "Failure";
  reason?: string;
  nodeStatus?: PrePullNode[];
}

export interface ImagePrePullJob extends KubeObject {
  spec: { imagePrePullTemplate?: PrePullTemplate };
  status?: PrePullStatus;
}

/** What a node has to say of a job when it is done with it, image by image. */
export interface PrePullResult {
  /** Why nothing was pulled at all. */
  refusal?: string;
  images: PrePullImage[];
}

export const PREPULL_DEFAULTS = {
  checkItems: ["disk"],
  failureTolerate: "0.1",
  concurrency: 1,
  timeoutSeconds: 300,
  retryTimes: 0,
} as const;
/** Of one job; a node pulls them one after another or a few at once. */
export const PREPULL_IMAGES_MAX = 64;
export const PREPULL_REASON_MAX = 1_024;
