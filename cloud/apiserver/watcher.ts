/**
 * One follower of a resource: the changes it has not read yet, bounded by number and by bytes. A
 * follower that reads too slowly is ended by its cache, never waited for.
 */
import type { Change } from "./change_ring.ts";

/** What one watcher may have waiting before it is ended. */
export interface PendingLimits {
  pendingMax: number;
  pendingBytesMax: number;
}

/** One follower: changes in order through `next`, undefined once closed and (if slow) at once. */
export class Watcher {
  readonly resource: string;
  readonly #limits: PendingLimits;
  readonly #onClose: () => void;
  #pending: Change[];
  #pendingBytes = 0;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(
    resource: string,
    missed: Change[],
    limits: PendingLimits,
    onClose: () => void,
  ) {
    this.resource = resource;
    this.#pending = missed;
    for (const change of missed) this.#pendingBytes += change.bytes;
    this.#limits = missed.length === 0 ? limits : {
      ...limits,
      // what was missed is bounded by the cache itself and must not end the watch it belongs to
      pendingMax: limits.pendingMax + missed.length,
      pendingBytesMax: limits.pendingBytesMax + this.#pendingBytes,
    };
    this.#onClose = onClose;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** False when the watcher is too far behind. */
  offer(change: Change): boolean {
    const { pendingMax, pendingBytesMax } = this.#limits;
    if (this.#pending.length >= pendingMax) return false;
    if (this.#pendingBytes + change.bytes > pendingBytesMax && this.#pending.length > 0) {
      return false;
    }
    this.#pending.push(change);
    this.#pendingBytes += change.bytes;
    this.#wakeUp();
    return true;
  }

  /** The next change that is already here. */
  poll(): Change | undefined {
    const change = this.#pending.shift();
    if (change) this.#pendingBytes -= change.bytes;
    return change;
  }

  /** Resolves when `poll` may have something, at `nudge`, or when the watcher is closed. */
  async ready(): Promise<void> {
    if (this.#pending.length > 0 || this.#closed) return;
    await new Promise<void>((resolve) => this.#wake = resolve);
  }

  /** Lets a waiting reader look at the time. */
  nudge(): void {
    this.#wakeUp();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#pending = [];
    this.#onClose();
    this.#wakeUp();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
