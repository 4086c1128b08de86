/**
 * The one seam to the control plane: everything in the cloud reads and writes Kubernetes objects
 * through this port. Adapters speak the Kubernetes API over an injected `fetch`: in process against
 * our own API server, or over HTTPS against a real cluster. Callers do not know which.
 */
import type { GroupVersionResource } from "../../shared/k8s/gvr.ts";
import type { KubeList, KubeObject, WatchEvent } from "../../shared/k8s/types.ts";

export interface KubeListOptions {
  /** All namespaces when absent (and always for cluster-scoped resources). */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  resourceVersion?: string;
}

export interface KubeTarget {
  namespace?: string;
  name: string;
  subresource?: string;
}

export type PatchType = "merge" | "strategic" | "json";

export interface DeleteOptions {
  gracePeriodSeconds?: number;
  preconditions?: { uid?: string; resourceVersion?: string };
  propagationPolicy?: "Background" | "Foreground" | "Orphan";
}

/**
 * Errors are AppErrors: `not_found`, `already_exists`, `conflict` (stale resourceVersion or failed
 * precondition), `stale` (a watch's resourceVersion is too old, HTTP 410: list again), `invalid`
 * (400, 422), `forbidden`, `unauthenticated`, `exhausted` (429), `unavailable` (cannot reach, 5xx).
 */
export interface KubeClient {
  get<T extends KubeObject>(
    gvr: GroupVersionResource,
    target: KubeTarget,
    signal: AbortSignal,
  ): Promise<T>;
  list<T extends KubeObject>(
    gvr: GroupVersionResource,
    options: KubeListOptions,
    signal: AbortSignal,
  ): Promise<KubeList<T>>;
  /** Yields events until the server ends the stream (normal) or `signal` aborts. */
  watch<T extends KubeObject>(
    gvr: GroupVersionResource,
    options: KubeListOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>>;
  create<T extends KubeObject>(
    gvr: GroupVersionResource,
    object: T,
    signal: AbortSignal,
    target?: { namespace?: string; name?: string; subresource?: string },
  ): Promise<T>;
  update<T extends KubeObject>(
    gvr: GroupVersionResource,
    object: T,
    signal: AbortSignal,
    options?: { subresource?: string },
  ): Promise<T>;
  patch<T extends KubeObject>(
    gvr: GroupVersionResource,
    target: KubeTarget,
    patch: { type: PatchType; body: unknown },
    signal: AbortSignal,
  ): Promise<T>;
  delete(
    gvr: GroupVersionResource,
    target: KubeTarget,
    options: DeleteOptions,
    signal: AbortSignal,
  ): Promise<void>;
}
