/**
 * All objects of the embedded API, durable in the Store and parsed in memory. A write takes the
 * lock of its key, gets the next revision, and is committed together with the counter; only then
 * readers and watchers see it, strictly in the order of revisions. Objects are replaced, never
 * changed in place, so a reader may keep what it was given.
 */
import { KeyedMutex } from "../../shared/async/keyed_mutex.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { OBJECT_BYTES_MAX } from "../../shared/limits.ts";
import type { Store, StoreOp } from "../../shared/store/port.ts";
import type { Change } from "./change_ring.ts";
import { ObjectTexts } from "./object_texts.ts";
import { cutPage, type Page, type PageRequest, ResourceTable } from "./resource_table.ts";
import { WATCH_LIMITS, WatchCache, type WatchCacheLimits } from "./watch_cache.ts";

/** Plural and group: what a bucket holds, whatever version a request names. */
export interface ResourceId {
  group: string;
  resource: string;
}

/** What a write decided to do with the current object (undefined: there is none). */
export type Decision =
  | { kind: "put"; object: KubeObject }
  | { kind: "delete" }
  /** Nothing changes; the current object is the answer. */
  | { kind: "keep" };

export interface Written {
  kind: "put" | "delete" | "keep";
  object: KubeObject;
  before: KubeObject | undefined;
}

const META_BUCKET = "k8s.meta";
const REVISION_KEY = "revision";
/**
 * Where commits were lost the last revisions are unknown, and none may be given out twice: to
 * clients it would name other content. More than can be written between two syncs of a journal.
 */
const LOST_REVISIONS_MAX = 1_000_000;

export function resourceKey(id: ResourceId): string {
  return id.group === "" ? id.resource : `${id.resource}.${id.group}`;
}

export function objectKey(namespace: string | undefined, name: string): string {
  return `${namespace ?? ""}/${name}`;
}

interface Publication {
  change: Change;
  state: "waiting" | "durable" | "failed";
}

function storedRevision(store: Store): number {
  return store.get<number>(META_BUCKET, REVISION_KEY) ?? 0;
}

/**
 * After a loss of commits: gives out none of the revisions again that may have been lost. Belongs
 * into the first commit there is, since behind it the loss is not told again.
 */
export function skipLostRevisions(store: Store): StoreOp {
  const value = storedRevision(store) + LOST_REVISIONS_MAX;
  return { op: "put", bucket: META_BUCKET, key: REVISION_KEY, value };
}

export class ObjectStorage {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #resources = new Map<string, ResourceTable>();
  /** JSON of what was written last. */
  readonly texts = new ObjectTexts();
  readonly #locks = new KeyedMutex();
  readonly #watch: WatchCache;
  #lastRevision: number;
  #publications: Publication[] = [];
  #writes = new Set<Promise<unknown>>();
  #closed = false;

  private constructor(store: Store, clock: Clock, limits: WatchCacheLimits) {
    this.#store = store;
    this.#clock = clock;
    this.#lastRevision = storedRevision(store);
    this.#watch = new WatchCache(this.#lastRevision, limits);
  }

  /** Loads every object of `resources` from the store. */
  static open(
    store: Store,
    clock: Clock,
    resources: readonly ResourceId[],
    limits: WatchCacheLimits = WATCH_LIMITS,
  ): ObjectStorage {
    const storage = new ObjectStorage(store, clock, limits);
    for (const id of resources) {
      const key = resourceKey(id);
      const objects = store.list<KubeObject>(`k8s/${key}`).map(({ key: name, value }) =>
        [name, value] as const
      );
      storage.#resources.set(key, new ResourceTable(objects));
    }
    return storage;
  }

  get clock(): Clock {
    return this.#clock;
  }

  /** Revision of the newest state that readers can see. */
  get revision(): number {
    return this.#watch.revision;
  }

  get watch(): WatchCache {
    return this.#watch;
  }

  get(id: ResourceId, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#objects(id).get(objectKey(namespace, name));
  }

  /** Objects in key order, of one namespace or (undefined) of all, as they were at `revision`. */
  list(id: ResourceId, namespace: string | undefined, revision?: number): KubeObject[] {
    return this.page(id, revision ?? this.revision, { namespace }).objects;
  }

  /** A part of a list as it was at `revision`; throws "stale" when that is not known any more. */
  page(id: ResourceId, revision: number, request: PageRequest): Page {
    const now = this.#objects(id);
    const later = revision === this.revision ? [] : this.#watch.since(resourceKey(id), revision);
    return cutPage(now.before(later), request);
  }

  count(id: ResourceId): number {
    return this.#objects(id).size;
  }

  /**
   * Decides on the current object under its lock and makes the decision durable. `decide` may
   * throw; it must return a new object, never the changed current one.
   */
  write(
    id: ResourceId,
    namespace: string | undefined,
    name: string,
    decide: (current: KubeObject | undefined) => Decision | Promise<Decision>,
  ): Promise<Written> {
    const key = objectKey(namespace, name);
    const work = this.#locks.run(`${resourceKey(id)}:${key}`, async () => {
      const before = this.#objects(id).get(key);
      const decision = await decide(before);
      if (decision.kind === "keep" || (decision.kind === "delete" && !before)) {
        if (!before) throw new AppError("not_found", `${id.resource} "${name}" not found`);
        return { kind: "keep" as const, object: before, before };
      }
      const object = decision.kind === "put" ? decision.object : before!;
      return await this.#commit(id, key, { before, object, deleted: decision.kind === "delete" });
    });
    this.#writes.add(work);
    const forget = () => this.#writes.delete(work);
    void work.then(forget, forget); // the caller gets the failure; here only the book is kept
    return work;
  }

  async #commit(
    id: ResourceId,
    key: string,
    what: { before: KubeObject | undefined; object: KubeObject; deleted: boolean },
  ): Promise<Written> {
    if (this.#closed) throw new AppError("unavailable", "Cannot write: the API server is closing");
    const resource = resourceKey(id);
    // From here to the call of commit nothing awaits: revisions and commits have one order.
    const revision = this.#lastRevision + 1;
    const object = {
      ...what.object,
      metadata: { ...what.object.metadata, resourceVersion: String(revision) },
    };
    const text = JSON.stringify(object);
    const bytes = text.length;
    if (bytes > OBJECT_BYTES_MAX && !what.deleted) {
      throw new AppError(
        "invalid",
        `Cannot store ${id.resource} "${object.metadata.name}": size must be <= ` +
          `${OBJECT_BYTES_MAX} bytes, got ${bytes}`,
        { tooLarge: true },
      );
    }
    this.#lastRevision = revision;
    const publication: Publication = {
      state: "waiting",
      change: {
        revision,
        resource,
        key,
        type: what.deleted ? "DELETED" : what.before ? "MODIFIED" : "ADDED",
        object,
        before: what.before,
        bytes,
      },
    };
    this.#publications.push(publication);
    const bucket = `k8s/${resource}`;
    const op: StoreOp = what.deleted
      ? { op: "delete", bucket, key }
      : { op: "put", bucket, key, value: object };
    try {
      await this.#store.commit([
        op,
        { op: "put", bucket: META_BUCKET, key: REVISION_KEY, value: revision },
      ]);
      publication.state = "durable";
      this.texts.remember(object, text);
    } catch (error) {
      publication.state = "failed";
      throw error;
    } finally {
      this.#publishInOrder();
    }
    return { kind: what.deleted ? "delete" : "put", object, before: what.before };
  }

  /** Publishes what is durable, up to the first commit that still waits. */
  #publishInOrder(): void {
    while (this.#publications.length > 0 && this.#publications[0]!.state !== "waiting") {
      const { change, state } = this.#publications.shift()!;
      if (state === "failed") continue;
      const objects = this.#resources.get(change.resource)!;
      if (change.type === "DELETED") objects.delete(change.key);
      else objects.set(change.key, change.object);
      this.#watch.publish(change);
    }
  }

  #objects(id: ResourceId): ResourceTable {
    const objects = this.#resources.get(resourceKey(id));
    if (!objects) throw new AppError("internal", `Resource ${resourceKey(id)} is not stored`);
    return objects;
  }

  /** Ends all watches and waits for writes that are under way; the store stays open. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#watch.closeAll();
    await Promise.allSettled([...this.#writes]);
  }
}
