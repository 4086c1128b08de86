/**
 * Empties namespaces that are being deleted, then takes the "kubernetes" finalizer off so that the
 * API server drops them. Pods end gracefully at their node: a namespace with pods of a node that is
 * away stays Terminating until they are confirmed or deleted by force, as in any cluster. Used with
 * the embedded API only; a real cluster brings its own.
 *
 *     Terminating -> (delete what is there, look again)* -> empty -> finalize -> gone
 */
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, isAbort, isAppError } from "../../shared/errors.ts";
import { type GroupVersionResource, GVR } from "../../shared/k8s/gvr.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { KubeClient } from "../kube/port.ts";
import { forEachBounded } from "./bounded.ts";
import type { NamespacedResources, ObjectCache } from "./port.ts";

const FINALIZER = "kubernetes";
const WRITES_MAX = 16;
/** How often a namespace that still holds something is looked at. */
const RECHECK_MS = 1_000;
const IDLE_MS = 60_000;

export interface NamespaceLifecycleOptions {
  kube: KubeClient;
  namespaces: ObjectCache<KubeObject>;
  resources: NamespacedResources;
  clock: Clock;
}

export class NamespaceLifecycle {
  readonly #options: NamespaceLifecycleOptions;
  readonly #log = roomLogger("cloud", "controllers", "namespaces");
  readonly #wakeup = new Wakeup();

  constructor(options: NamespaceLifecycleOptions) {
    this.#options = options;
    options.namespaces.subscribe(({ after }) => {
      if (after?.metadata.deletionTimestamp) this.#wakeup.wake();
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { namespaces, clock } = this.#options;
    await namespaces.ready(signal);
    while (true) {
      let isWaiting = false;
      for (const namespace of [...namespaces.list()]) {
        if (!namespace.metadata.deletionTimestamp) continue;
        if (!await this.#advance(namespace, signal)) isWaiting = true;
      }
      await waitAtMost(this.#wakeup, clock, isWaiting ? RECHECK_MS : IDLE_MS, signal);
    }
  }

  /** True when the namespace is done with. */
  async #advance(namespace: KubeObject, signal: AbortSignal): Promise<boolean> {
    const name = namespace.metadata.name ?? "";
    try {
      // What needs no grace is gone at the second look, so most namespaces end in one go.
      if (!await this.#isEmpty(name, signal) && !await this.#isEmpty(name, signal)) return false;
      await this.#finalize(name, signal);
      return true;
    } catch (error) {
      if (isAbort(error, signal) || !(error instanceof AppError)) throw error;
      if (isAppError(error, "not_found")) return true;
      this.#log.warn("Cannot empty namespace", { namespace: name, error: errorChain(error) });
      return false;
    }
  }

  async #isEmpty(namespace: string, signal: AbortSignal): Promise<boolean> {
    let found = 0;
    for (const gvr of await this.#options.resources(signal)) {
      found += await this.#empty(gvr, namespace, signal);
    }
    return found === 0;
  }

  /** Asks for the deletion of everything there; returns how much was found. */
  async #empty(gvr: GroupVersionResource, namespace: string, signal: AbortSignal): Promise<number> {
    const { kube } = this.#options;
    const { items } = await kube.list<KubeObject>(gvr, { namespace }, signal).catch((error) => {
      if (isAppError(error, "not_found")) return { items: [] }; // a kind this API does not serve
      throw error;
    });
    const untold = items.filter((object) => !object.metadata.deletionTimestamp);
    await forEachBounded(untold, WRITES_MAX, async ({ metadata }) => {
      const { name = "", uid } = metadata;
      try {
        const preconditions = uid ? { uid } : {};
        const options = { propagationPolicy: "Background" as const, preconditions };
        await kube.delete(gvr, { namespace, name }, options, signal);
      } catch (error) {
        // Gone already, or recreated: the next look sees what there is.
        if (!isAppError(error, "not_found", "conflict")) throw error;
      }
    });
    return items.length;
  }

  async #finalize(name: string, signal: AbortSignal): Promise<void> {
    const { kube } = this.#options;
    const fresh = await kube.get<KubeObject>(GVR.namespaces, { name }, signal);
    const spec = (fresh.spec ?? {}) as { finalizers?: string[] }; // core/v1 NamespaceSpec
    const finalizers = (spec.finalizers ?? []).filter((finalizer) => finalizer !== FINALIZER);
    const next = { ...fresh, spec: { ...spec, finalizers } };
    await kube.update(GVR.namespaces, next, signal, { subresource: "finalize" });
    this.#log.info("Namespace emptied", { namespace: name });
  }
}
