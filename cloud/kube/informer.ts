/**
 * A local copy of one selection of one resource, kept up to date by list and watch. Reading it
 * costs nothing; `changes` says "look again" and carries no data. It resumes where a watch ended,
 * lists again when its revision is too old (410), and backs off with jitter while the API is away;
 * what it holds stays readable meanwhile.
 *
 *   listing -> watching -> (watching | listing | back-off -> listing or watching)*
 */
import { type BackoffOptions, fullJitterMs } from "../../shared/async/backoff.ts";
import { untilAborted } from "../../shared/async/task_scope.ts";
import { Changes } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { errorChain, isAppError } from "../../shared/errors.ts";
import type { GroupVersionResource } from "../../shared/k8s/gvr.ts";
import type { KubeObject, WatchEvent } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import type { KubeClient } from "./port.ts";

export interface InformerOptions {
  clock: Clock;
  random: Random;
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  /** Shared with other informers where one reader follows several. */
  changes?: Changes;
  backoff?: BackoffOptions;
}

/** 0.8 s to 30 s, as client-go's reflector. */
const BACKOFF: BackoffOptions = { initialMs: 800, maxMs: 30_000 };

/** So many changes that nobody took are as good as "look at everything". */
const CHANGED_MAX = 100_000;

/** "<namespace>/<name>", or "<name>" for a cluster-scoped object. */
export function itemKey(object: KubeObject): string {
  const { namespace, name = "" } = object.metadata;
  return namespace ? `${namespace}/${name}` : name;
}

export class Informer<T extends KubeObject> {
  readonly changes: Changes;
  readonly #kube: KubeClient;
  readonly #gvr: GroupVersionResource;
  readonly #options: InformerOptions;
  #items = new Map<string, T>();
  /** Keys changed since they were taken last; undefined after a list, or when too many. */
  #changed: Set<string> | undefined;
  #revision: string | undefined;
  #synced = Promise.withResolvers<void>();
  #isSynced = false;
  #failures = 0;
  #lastError: string | undefined;

  constructor(kube: KubeClient, gvr: GroupVersionResource, options: InformerOptions) {
    this.#kube = kube;
    this.#gvr = gvr;
    this.#options = options;
    this.changes = options.changes ?? new Changes();
  }

  /** What is known now; replaced at each list, so take it anew at each pass. */
  get items(): ReadonlyMap<string, T> {
    return this.#items;
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#items.get(namespace ? `${namespace}/${name}` : name);
  }

  /** Keys of the items that changed since the last call; undefined: look at all of them. */
  takeChanged(): ReadonlySet<string> | undefined {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  /** True once the first list has been read. */
  get synced(): boolean {
    return this.#isSynced;
  }

  /** Why the last attempt failed; undefined while all is well. */
  get lastError(): string | undefined {
    return this.#lastError;
  }

  /** Resolves once the first list has been read; rejects when `signal` aborts. */
  async whenSynced(signal: AbortSignal): Promise<void> {
    await Promise.race([this.#synced.promise, untilAborted(signal)]);
    signal.throwIfAborted();
  }

  /** Keeps the copy up to date until `signal` aborts; then returns. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (this.#revision === undefined) await this.#list(signal);
        await this.#watch(signal);
      } catch (error) {
        if (signal.aborted) return;
        await this.#recover(error, signal);
      }
    }
  }

  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    if (isAppError(error, "stale")) {
      this.#revision = undefined; // too old to resume: list again, at once the first time
      if (this.#failures++ === 0) return;
    } else this.#failures++;
    this.#lastError = errorChain(error);
    const { clock, random, backoff = BACKOFF } = this.#options;
    const delayMs = fullJitterMs(backoff, this.#failures - 1, random);
    roomLogger("cloud", "kube").warn("Cannot follow resource; trying again", {
      resource: this.#gvr.resource,
      delayMs,
      error: this.#lastError,
    });
    // only an abort ends the sleep early, and the loop looks at the signal
    await clock.sleep(delayMs, signal).catch(() => {});
  }

  async #list(signal: AbortSignal): Promise<void> {
    const list = await this.#kube.list<T>(this.#gvr, this.#selection(), signal);
    this.#items = new Map(list.items.map((item) => [itemKey(item), item]));
    this.#changed = undefined;
    this.#revision = list.metadata.resourceVersion ?? "";
    this.#lastError = undefined;
    this.#isSynced = true;
    this.#synced.resolve();
    this.changes.notify();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const startedMs = clock.monotonicMs();
    const options = { ...this.#selection(), resourceVersion: this.#revision ?? "" };
    let events = 0;
    for await (const event of this.#kube.watch<T>(this.#gvr, options, signal)) {
      events++;
      this.#failures = 0;
      this.#lastError = undefined;
      this.#apply(event);
    }
    // A server that ends every watch at once would otherwise be asked in a tight loop.
    if (!signal.aborted && events === 0 && clock.monotonicMs() - startedMs < 1000) {
      await clock.sleep(1000, signal);
    }
  }

  #apply(event: WatchEvent<T>): void {
    if (event.type === "ERROR") return; // the client throws these
    const revision = event.object.metadata.resourceVersion;
    if (revision !== undefined) this.#revision = revision;
    if (event.type === "BOOKMARK") return;
    const key = itemKey(event.object);
    if (event.type === "DELETED") this.#items.delete(key);
    else this.#items.set(key, event.object);
    if (this.#changed?.add(key) && this.#changed.size > CHANGED_MAX) this.#changed = undefined;
    this.changes.notify();
  }

  #selection(): { namespace?: string; labelSelector?: string; fieldSelector?: string } {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    return {
      ...(namespace === undefined ? {} : { namespace }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
    };
  }
}
