/**
 * What the API has acknowledged, object by object: the measure of "acknowledged implies durable".
 * Pure bookkeeping; the checkers compare it with what is stored.
 */
import type { GroupVersionResource } from "../../shared/k8s/gvr.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";

export interface Acknowledged {
  uid: string;
  resourceVersion: number;
  /** Its deletion was acknowledged too; a pod may be ending, anything else is gone. */
  isDeleted: boolean;
}

export class Model {
  readonly #known = new Map<string, Acknowledged>();
  /** With a call under way, or one that was never answered: anything may be true. */
  readonly #uncertain = new Set<string>();

  /** Uids that people at a site asked to remove: the cloud may follow, at any time. */
  readonly #vanishing = new Set<string>();

  mayVanish(uid: string): void {
    this.#vanishing.add(uid);
  }

  isVanishing(uid: string): boolean {
    return this.#vanishing.has(uid);
  }

  /** True when the object was uncertain before. */
  begin(key: string): boolean {
    const was = this.#uncertain.has(key);
    this.#uncertain.add(key);
    return was;
  }

  acknowledge(key: string, outcome: KubeObject | "deleted"): void {
    this.#uncertain.delete(key);
    const known = this.#known.get(key);
    if (outcome === "deleted") {
      if (known) known.isDeleted = true;
      return;
    }
    const { uid = "", resourceVersion } = outcome.metadata;
    // a change to a pod that is ending does not bring it back
    const isDeleted = known?.uid === uid && known.isDeleted;
    this.#known.set(key, { uid, resourceVersion: Number(resourceVersion), isDeleted });
  }

  /** The call changed nothing. */
  refuse(key: string, wasUncertain: boolean): void {
    if (!wasUncertain) this.#uncertain.delete(key);
  }

  has(key: string): boolean {
    const known = this.#known.get(key);
    return known !== undefined && !known.isDeleted;
  }

  /** Everything that is certain. */
  *certain(): Generator<[key: string, Acknowledged]> {
    for (const [key, known] of this.#known) if (!this.#uncertain.has(key)) yield [key, known];
  }

  /** What is there is what counts, for a key nobody could be sure of. */
  settle(read: (key: string) => KubeObject | undefined): void {
    for (const key of this.#uncertain) {
      const object = read(key);
      if (!object) this.#known.delete(key);
      else {
        this.#known.set(key, {
          uid: object.metadata.uid ?? "",
          resourceVersion: Number(object.metadata.resourceVersion),
          isDeleted: object.metadata.deletionTimestamp !== undefined,
        });
      }
    }
    this.#uncertain.clear();
  }
}

export function modelKey(gvr: GroupVersionResource, name: string): string {
  return `${gvr.resource}/${name}`;
}
