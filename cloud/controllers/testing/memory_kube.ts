/**
 * A small Kubernetes API in memory for the controllers' unit tests: revisions, conflicts,
 * preconditions, graceful pod deletion, status and binding subresources, merge patch, and caches
 * that follow it synchronously. The real one is tested with the controllers in tests/integration.
 */
import { AppError } from "../../../shared/errors.ts";
import { cloneJson } from "../../../shared/json/json.ts";
import { type GroupVersionResource, GVR } from "../../../shared/k8s/gvr.ts";
import type { KubeList, KubeObject, Pod, WatchEvent } from "../../../shared/k8s/types.ts";
import { objectKey, qualifiedResource } from "../../../shared/wire/keys.ts";
import type {
  DeleteOptions,
  KubeClient,
  KubeListOptions,
  KubeTarget,
  PatchType,
} from "../../kube/port.ts";
import type { ObjectCache, ObjectChange } from "../port.ts";

type Listener = (gvr: GroupVersionResource, change: ObjectChange<KubeObject>) => void;

export interface Call {
  verb: "create" | "update" | "patch" | "delete";
  resource: string;
  name: string;
  subresource?: string | undefined;
}

export class MemoryKube implements KubeClient {
  readonly calls: Call[] = [];
  /** Throws to make a write fail, called before each. */
  onWrite: (call: Call) => void = () => {};
  readonly #objects = new Map<string, KubeObject>();
  readonly #listeners = new Set<Listener>();
  #revision = 0;

  peek<T extends KubeObject>(gvr: GroupVersionResource, namespace: string, name: string) {
    return this.#objects.get(objectKey(gvr, namespace, name)) as T | undefined;
  }

  all<T extends KubeObject>(gvr: GroupVersionResource): T[] {
    const prefix = `${qualifiedResource(gvr)}/`;
    return [...this.#objects].filter(([key]) => key.startsWith(prefix)).map(([, o]) => o as T);
  }

  /** Puts an object as it is, with a uid and a new revision. */
  put<T extends KubeObject>(gvr: GroupVersionResource, object: T): T {
    const key = keyOf(gvr, object);
    const before = this.#objects.get(key);
    const after = cloneJson(object);
    after.metadata.uid ??= before?.metadata.uid ?? `uid-${++this.#revision}`;
    after.metadata.resourceVersion = String(++this.#revision);
    this.#objects.set(key, after);
    this.#tell(gvr, { before, after });
    return after;
  }

  remove(gvr: GroupVersionResource, namespace: string | undefined, name: string): void {
    const key = objectKey(gvr, namespace, name);
    const before = this.#objects.get(key);
    if (!before) return;
    this.#objects.delete(key);
    this.#revision++;
    this.#tell(gvr, { before, after: undefined });
  }

  cache<T extends KubeObject>(gvr: GroupVersionResource): MemoryCache<T> {
    return new MemoryCache<T>(this, gvr);
  }

  follow(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // deno-lint-ignore require-await
  async get<T extends KubeObject>(gvr: GroupVersionResource, target: KubeTarget): Promise<T> {
    return cloneJson(this.#existing(gvr, target)) as T;
  }

  // deno-lint-ignore require-await
  async list<T extends KubeObject>(gvr: GroupVersionResource, options: KubeListOptions) {
    const items = this.all<T>(gvr).filter((o) =>
      options.namespace === undefined || o.metadata.namespace === options.namespace
    );
    const list: KubeList<T> = {
      apiVersion: "v1",
      kind: "List",
      metadata: { resourceVersion: String(this.#revision) },
      items: cloneJson(items),
    };
    return list;
  }

  watch<T extends KubeObject>(): AsyncIterable<WatchEvent<T>> {
    throw new AppError("unimplemented", "MemoryKube is followed through its caches");
  }

  // deno-lint-ignore require-await
  async create<T extends KubeObject>(
    gvr: GroupVersionResource,
    object: T,
    signal: AbortSignal,
    target?: { namespace?: string; name?: string; subresource?: string },
  ): Promise<T> {
    signal.throwIfAborted();
    const name = target?.name ?? object.metadata.name ?? "";
    this.#write("create", gvr, name, target?.subresource);
    if (target?.subresource === "binding") return this.#bind(object, target) as T;
    const namespace = object.metadata.namespace ?? target?.namespace;
    const full = { ...object, metadata: { ...object.metadata, ...(namespace && { namespace }) } };
    if (this.#objects.has(keyOf(gvr, full))) {
      throw new AppError("already_exists", `${gvr.resource} "${name}" already exists`);
    }
    return cloneJson(this.put(gvr, full));
  }

  // deno-lint-ignore require-await
  async update<T extends KubeObject>(
    gvr: GroupVersionResource,
    object: T,
    signal: AbortSignal,
    options?: { subresource?: string },
  ): Promise<T> {
    signal.throwIfAborted();
    this.#write("update", gvr, object.metadata.name ?? "", options?.subresource);
    const old = this.#existing(gvr, pick(object));
    const { resourceVersion, uid } = object.metadata;
    if (resourceVersion && resourceVersion !== old.metadata.resourceVersion) throw conflict(gvr);
    if (uid && uid !== old.metadata.uid) throw conflict(gvr);
    const next: KubeObject = options?.subresource === "status"
      ? { ...old, status: object.status }
      : options?.subresource === "finalize"
      ? { ...old, spec: object.spec }
      : { ...object, status: old.status };
    const finalizers = (next.spec as { finalizers?: string[] } | undefined)?.finalizers;
    if (options?.subresource === "finalize" && !finalizers?.length) {
      this.remove(gvr, undefined, object.metadata.name ?? "");
      return object;
    }
    return cloneJson(this.put(gvr, next)) as T;
  }

  // deno-lint-ignore require-await
  async patch<T extends KubeObject>(
    gvr: GroupVersionResource,
    target: KubeTarget,
    patch: { type: PatchType; body: unknown },
    signal: AbortSignal,
  ): Promise<T> {
    signal.throwIfAborted();
    this.#write("patch", gvr, target.name, target.subresource);
    const old = this.#existing(gvr, target);
    if (patch.type !== "merge") throw new AppError("unimplemented", `${patch.type} patch`);
    const body = patch.body as KubeObject; // tests patch with objects
    const given = body.metadata?.resourceVersion;
    if (given && given !== old.metadata.resourceVersion) throw conflict(gvr);
    if (body.metadata?.uid && body.metadata.uid !== old.metadata.uid) throw conflict(gvr);
    return cloneJson(this.put(gvr, mergePatch(old, body) as KubeObject)) as T;
  }

  // deno-lint-ignore require-await
  async delete(
    gvr: GroupVersionResource,
    target: KubeTarget,
    options: DeleteOptions,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    this.#write("delete", gvr, target.name);
    const old = this.#existing(gvr, target);
    const uid = options.preconditions?.uid;
    if (uid && uid !== old.metadata.uid) throw conflict(gvr);
    const isGraceful = gvr.resource === "pods" && options.gracePeriodSeconds !== 0 &&
      (old as Pod).spec.nodeName;
    if (!isGraceful) return this.remove(gvr, target.namespace, target.name);
    const deletionTimestamp = old.metadata.deletionTimestamp ?? "2026-01-01T00:00:30Z";
    this.put(gvr, { ...old, metadata: { ...old.metadata, deletionTimestamp } });
  }

  #write(verb: Call["verb"], gvr: GroupVersionResource, name: string, subresource?: string): void {
    const call: Call = { verb, resource: gvr.resource, name, subresource };
    this.onWrite(call);
    this.calls.push(call);
  }

  #bind(binding: KubeObject, target: { namespace?: string; name?: string }): KubeObject {
    const pod = this.#existing(GVR.pods, { name: "", ...target }) as Pod;
    if (pod.spec.nodeName) throw conflict(GVR.pods);
    const nodeName = (binding.target as { name: string }).name; // a Binding
    this.put(GVR.pods, { ...pod, spec: { ...pod.spec, nodeName } });
    return binding;
  }

  #existing(gvr: GroupVersionResource, target: KubeTarget): KubeObject {
    const object = this.#objects.get(objectKey(gvr, target.namespace, target.name));
    if (object) return object;
    throw new AppError("not_found", `${gvr.resource} "${target.name}" not found`);
  }

  #tell(gvr: GroupVersionResource, change: ObjectChange<KubeObject>): void {
    for (const listener of [...this.#listeners]) listener(gvr, change);
  }
}

/** Follows a MemoryKube synchronously; `hold` keeps changes back until `release`. */
export class MemoryCache<T extends KubeObject> implements ObjectCache<T> {
  readonly #objects = new Map<string, T>();
  readonly #listeners = new Set<(change: ObjectChange<T>) => void>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #kube: MemoryKube;
  readonly #gvr: GroupVersionResource;

  constructor(kube: MemoryKube, gvr: GroupVersionResource) {
    this.#kube = kube;
    this.#gvr = gvr;
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(objectKey(this.#gvr, namespace, name));
  }

  list(): Iterable<T> {
    return this.#objects.values();
  }

  subscribe(listener: (change: ObjectChange<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  ready(): Promise<void> {
    return this.#ready.promise;
  }

  async run(signal: AbortSignal): Promise<void> {
    const apply = (change: ObjectChange<T>) => {
      if (change.after) this.#objects.set(keyOf(this.#gvr, change.after), change.after);
      else if (change.before) this.#objects.delete(keyOf(this.#gvr, change.before));
      for (const listener of [...this.#listeners]) listener(change);
    };
    const unfollow = this.#kube.follow((gvr, change) => {
      if (gvr.resource === this.#gvr.resource && gvr.group === this.#gvr.group) {
        apply(change as ObjectChange<T>); // the same resource
      }
    });
    for (const object of this.#kube.all<T>(this.#gvr)) apply({ before: undefined, after: object });
    this.#ready.resolve();
    await new Promise<void>((resolve) => {
      if (signal.aborted) return resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    unfollow();
  }
}

function keyOf(gvr: GroupVersionResource, object: KubeObject): string {
  return objectKey(gvr, object.metadata.namespace, object.metadata.name ?? "");
}

function pick(object: KubeObject): KubeTarget {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? { name: name ?? "" } : { namespace, name: name ?? "" };
}

function conflict(gvr: GroupVersionResource): AppError {
  return new AppError("conflict", `Operation cannot be fulfilled on ${gvr.resource}`);
}

function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const base = typeof target === "object" && target !== null && !Array.isArray(target)
    ? { ...target as Record<string, unknown> }
    : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete base[key];
    else base[key] = mergePatch(base[key], value);
  }
  return base;
}
