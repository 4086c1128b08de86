/**
 * The last changes of one resource, oldest first. What is cut off at the old end raises the floor:
 * whoever asks for what came after an older revision than that would miss something.
 */
import type { KubeObject } from "../../shared/k8s/types.ts";

/** One durable change. Objects are shared by all readers: never write to them. */
export interface Change {
  readonly revision: number;
  /** `<plural>.<group>`, as ResourceId of storage.ts. */
  readonly resource: string;
  readonly key: string;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  /** What it is now; for DELETED the last state, with the revision of the deletion. */
  readonly object: KubeObject;
  /** What it was; absent for ADDED. */
  readonly before: KubeObject | undefined;
  readonly bytes: number;
}

export class ChangeRing {
  #changes: Change[] = [];
  /** Index of the oldest kept change in #changes; the part before it is cut away in batches. */
  #head = 0;
  #bytes = 0;
  #floor: number;

  /** `floor`: changes up to this revision are not known here. */
  constructor(floor: number) {
    this.#floor = floor;
  }

  get count(): number {
    return this.#changes.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The oldest revision a reader may go on from. */
  get floor(): number {
    return this.#floor;
  }

  push(change: Change): void {
    this.#changes.push(change);
    this.#bytes += change.bytes;
  }

  /** Forgets the oldest change; its bytes. */
  shift(): number {
    const gone = this.#changes[this.#head];
    if (!gone) return 0;
    this.#head++;
    this.#bytes -= gone.bytes;
    this.#floor = gone.revision;
    // cut when half is gone: what was forgotten pins as many objects as are kept, at most
    if (this.#head * 2 >= this.#changes.length) {
      this.#changes = this.#changes.slice(this.#head);
      this.#head = 0;
    }
    return gone.bytes;
  }

  /** Changes after `revision`, which must not be below the floor; oldest first. */
  since(revision: number): Change[] {
    let low = this.#head;
    let high = this.#changes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#changes[middle]!.revision > revision) high = middle;
      else low = middle + 1;
    }
    return this.#changes.slice(low);
  }
}
