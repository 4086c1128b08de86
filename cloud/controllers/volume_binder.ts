/**
 * Binds claims to volumes that are there (nobody makes new ones) and lets both go when nothing uses
 * them: carries out `planVolumes`, one step an object at a time, until nothing is left to write.
 * Used with the embedded API only; a real cluster has its own.
 */
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, isAbort, isAppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Node, Pod } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import { objectKey } from "../../shared/wire/keys.ts";
import type { KubeClient } from "../kube/port.ts";
import { forEachBounded } from "./bounded.ts";
import { planVolumes, type StorageStep } from "./plan_volumes.ts";
import type { ObjectCache } from "./port.ts";
import { neededKeys } from "./project_node.ts";
import type { ClaimObject, ClassObject, VolumeObject } from "./storage_types.ts";

const WRITES_MAX = 16;
const RETRY_MS = 1_000;
const IDLE_MS = 600_000;

export interface StorageCaches {
  claims: ObjectCache<ClaimObject>;
  volumes: ObjectCache<VolumeObject>;
  classes: ObjectCache<ClassObject>;
}

export interface VolumeBinderOptions extends StorageCaches {
  kube: KubeClient;
  pods: ObjectCache<Pod>;
  nodes: ObjectCache<Node>;
  clock: Clock;
}

export class VolumeBinder {
  readonly #options: VolumeBinderOptions;
  readonly #log = roomLogger("cloud", "controllers", "volumes");
  readonly #wakeup = new Wakeup();

  constructor(options: VolumeBinderOptions) {
    this.#options = options;
    const wake = () => this.#wakeup.wake();
    for (const cache of [options.claims, options.volumes, options.classes]) cache.subscribe(wake);
    options.pods.subscribe(({ before, after }) => {
      const pod = after ?? before;
      const isAtEnd = !after || after.status?.phase === "Succeeded" ||
        after.status?.phase === "Failed";
      if (isAtEnd && pod?.spec.volumes?.some((one) => one.persistentVolumeClaim)) wake();
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { claims, volumes, classes, pods, nodes, clock } = this.#options;
    for (const cache of [claims, volumes, classes, pods, nodes]) await cache.ready(signal);
    while (true) {
      const steps = this.#plan();
      let failed = 0;
      await forEachBounded(steps, WRITES_MAX, async (step) => {
        if (!await this.#write(step, signal)) failed++;
      });
      // what was written comes back as a change, and wakes
      await waitAtMost(this.#wakeup, clock, failed > 0 ? RETRY_MS : IDLE_MS, signal);
    }
  }

  #plan(): StorageStep[] {
    const { claims, volumes, classes, pods, nodes } = this.#options;
    const used = new Set<string>();
    for (const pod of pods.list()) {
      const hasEnded = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
      if (!hasEnded) { for (const key of neededKeys(pod)) used.add(key); }
    }
    return planVolumes({
      claims: [...claims.list()],
      volumes: [...volumes.list()],
      findClass: (name) => classes.get(undefined, name),
      findNode: (name) => nodes.get(undefined, name),
      isUsed: ({ metadata }) =>
        used.has(objectKey(GVR.claims, metadata.namespace, metadata.name ?? "")),
    });
  }

  /** False when it is to be tried again. */
  async #write({ resource, object, part }: StorageStep, signal: AbortSignal): Promise<boolean> {
    const { kube } = this.#options;
    const subresource = part === "status" ? { subresource: "status" } : undefined;
    const kind = resource === "claims" ? "PersistentVolumeClaim" : "PersistentVolume";
    // lists leave the kind out
    const whole = { ...object, apiVersion: "v1", kind };
    try {
      await kube.update(GVR[resource], whole, signal, subresource);
      return true;
    } catch (error) {
      if (isAbort(error, signal) || !(error instanceof AppError)) throw error;
      if (isAppError(error, "conflict", "not_found")) return true; // comes with a change that wakes
      const { namespace, name } = object.metadata;
      this.#log.warn("Cannot bind", { kind, namespace, name, error: errorChain(error) });
      return false;
    }
  }
}
