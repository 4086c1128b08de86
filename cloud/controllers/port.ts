/**
 * What the controllers need from outside besides the Kubernetes API: caches that follow a resource,
 * and the list of kinds to empty a namespace of. `cloud/app.ts` (and tests) hand them in.
 */
import type { Changes } from "../../shared/async/wakeup.ts";
import type { GroupVersionResource } from "../../shared/k8s/gvr.ts";
import type { KubeObject, Pod } from "../../shared/k8s/types.ts";
import type { TokenRequest } from "../../shared/wire/pod_tokens.ts";

/** One step of a cached object: `before` unset when it is new, `after` unset when it is gone. */
export interface ObjectChange<T extends KubeObject> {
  before: T | undefined;
  after: T | undefined;
}

/**
 * A list-then-watch cache of one resource in all namespaces. Objects in it are never changed in
 * place. Listeners are called synchronously, in order, also for the objects of the first list; what
 * a re-list finds missing counts as deleted.
 */
export interface ObjectCache<T extends KubeObject> {
  get(namespace: string | undefined, name: string): T | undefined;
  list(): Iterable<T>;
  subscribe(listener: (change: ObjectChange<T>) => void): () => void;
  /** Resolves when the first list is wholly in the cache. */
  ready(signal: AbortSignal): Promise<void>;
  /** Follows the resource until `signal` aborts; survives lost connections by itself. */
  run(signal: AbortSignal): Promise<void>;
}

/** A local copy of one resource that says "look again" when it changed; an informer. */
export interface FollowedResource<T extends KubeObject> {
  readonly changes: Changes;
  /** By "<namespace>/<name>", or "<name>"; taken anew at each look. */
  readonly items: ReadonlyMap<string, T>;
  /** Keys that changed since the last call; undefined (or no such method): look at all of them. */
  takeChanged?(): ReadonlySet<string> | undefined;
  whenSynced(signal: AbortSignal): Promise<void>;
  run(signal: AbortSignal): Promise<void>;
}

export type FollowResource = <T extends KubeObject>(
  gvr: GroupVersionResource,
) => FollowedResource<T>;

/** Signs tokens of service accounts for pods. What it says follows from what it is given. */
export interface PodTokenIssuer {
  /** How long such a token is good. */
  lifeSeconds(audience: string, expirationSeconds: number): number;
  issue(pod: Pod, account: KubeObject, request: TokenRequest, issuedAtMs: number): string;
}

/** Every namespaced resource the API serves that can be listed and deleted. */
export type NamespacedResources = (
  signal: AbortSignal,
) => Promise<readonly GroupVersionResource[]>;
