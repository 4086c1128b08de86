/**
 * Turns a copy that only says "look again" into steps of single objects, by comparing with what was
 * seen last. Changes that come together are compared once; a copy that knows which of its keys
 * changed is asked for these only, so that a burst over thousands of objects costs what it changed.
 */
import { TaskScope } from "../../shared/async/task_scope.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import type { FollowedResource, ObjectCache, ObjectChange } from "./port.ts";

export class DeltaCache<T extends KubeObject> implements ObjectCache<T> {
  readonly #source: FollowedResource<T>;
  readonly #seen = new Map<string, T>();
  readonly #listeners = new Set<(change: ObjectChange<T>) => void>();
  readonly #wakeup = new Wakeup();
  readonly #ready = Promise.withResolvers<void>();

  constructor(source: FollowedResource<T>) {
    this.#source = source;
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#seen.get(namespace ? `${namespace}/${name}` : name);
  }

  list(): Iterable<T> {
    return this.#seen.values();
  }

  subscribe(listener: (change: ObjectChange<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async ready(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([this.#ready.promise, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.#source.changes.subscribe(() => this.#wakeup.wake());
    const scope = new TaskScope(signal);
    try {
      scope.spawn("follow", (s) => this.#source.run(s));
      scope.spawn("compare", (s) => this.#follow(s));
      await scope.join();
    } finally {
      unsubscribe();
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    await this.#source.whenSynced(signal);
    this.#compare();
    this.#ready.resolve();
    while (true) {
      await this.#wakeup.wait(signal);
      this.#compare();
    }
  }

  #compare(): void {
    const items = this.#source.items;
    const changed = this.#source.takeChanged?.();
    if (changed) {
      for (const key of changed) this.#step(key, items.get(key));
      return;
    }
    for (const key of [...this.#seen.keys()]) {
      if (!items.has(key)) this.#step(key, undefined);
    }
    for (const [key, after] of items) this.#step(key, after);
  }

  #step(key: string, after: T | undefined): void {
    const before = this.#seen.get(key);
    if (before === after || (before && after && isSame(before, after))) return;
    if (after) this.#seen.set(key, after);
    else this.#seen.delete(key);
    this.#tell({ before, after });
  }

  #tell(change: ObjectChange<T>): void {
    for (const listener of [...this.#listeners]) listener(change);
  }
}

/** A list read again brings new copies of what has not changed. */
function isSame(a: KubeObject, b: KubeObject): boolean {
  const { uid, resourceVersion } = a.metadata;
  return resourceVersion !== undefined && resourceVersion === b.metadata.resourceVersion &&
    uid === b.metadata.uid;
}
