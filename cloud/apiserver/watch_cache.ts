/**
 * The last changes of every object, in the order of their resource versions, and the watchers that
 * follow them. Bounded by number and by bytes: a watch (or a paged list) that asks for something
 * older than what is kept gets "stale" (HTTP 410) and lists again; a watcher that reads too slowly
 * is ended, never waited for. After a restart nothing is kept, so the oldest version served
 * is the one the store was opened with.
 */
import { AppError } from "../../shared/errors.ts";
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

export interface WatchCacheLimits {
  changesMax: number;
  bytesMax: number;
  watchersMax: number;
  /** Changes and bytes one watcher may have waiting before it is ended. */
  pendingMax: number;
  pendingBytesMax: number;
}

/**
 * 4096 changes: minutes of a busy site, hours of a quiet one. 64 MiB caps what big objects can pin.
 * 4096 watchers: a dozen per node of a large fleet. 1024 pending / 8 MiB: a burst, not a dead peer.
 */
export const WATCH_LIMITS: WatchCacheLimits = {
  changesMax: 4096,
  bytesMax: 64 * 1024 * 1024,
  watchersMax: 4096,
  pendingMax: 1024,
  pendingBytesMax: 8 * 1024 * 1024,
};

export class WatchCache {
  readonly #limits: WatchCacheLimits;
  #changes: Change[] = [];
  /** Index of the oldest kept change in #changes; the part before it is cut away in batches. */
  #head = 0;
  #bytes = 0;
  #floor: number;
  #revision: number;
  readonly #watchers = new Set<Watcher>();
  #slowWatchers = 0;

  constructor(revision: number, limits: WatchCacheLimits = WATCH_LIMITS) {
    this.#floor = revision;
    this.#revision = revision;
    this.#limits = limits;
  }

  /** Revision of the last published change. */
  get revision(): number {
    return this.#revision;
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  /** Watchers ended because they did not read fast enough, since the start. */
  get slowWatchers(): number {
    return this.#slowWatchers;
  }

  publish(change: Change): void {
    this.#revision = change.revision;
    this.#changes.push(change);
    this.#bytes += change.bytes;
    this.#trim();
    for (const watcher of [...this.#watchers]) {
      if (watcher.resource !== change.resource) continue;
      if (!watcher.offer(change)) {
        this.#slowWatchers++;
        watcher.close();
      }
    }
  }

  /** Changes of `resource` after `revision`, oldest first. Throws "stale" when some are gone. */
  since(resource: string, revision: number): Change[] {
    if (revision < this.#floor || revision > this.#revision) {
      throw new AppError(
        "stale",
        `too old resource version: ${revision} (${this.#floor})`,
        { requested: revision, oldest: this.#floor, newest: this.#revision },
      );
    }
    const out: Change[] = [];
    for (let i = this.#changes.length - 1; i >= this.#head; i--) {
      const change = this.#changes[i]!;
      if (change.revision <= revision) break;
      if (change.resource === resource) out.push(change);
    }
    return out.reverse();
  }

  /** Follows `resource` from after `revision`; the caller closes the watcher. */
  watch(resource: string, revision: number): Watcher {
    if (this.#watchers.size >= this.#limits.watchersMax) {
      throw new AppError("exhausted", "Cannot start watch: too many watches are open", {
        watchersMax: this.#limits.watchersMax,
      });
    }
    const missed = this.since(resource, revision);
    const watcher = new Watcher(resource, missed, this.#limits, () => {
      this.#watchers.delete(watcher);
    });
    this.#watchers.add(watcher);
    return watcher;
  }

  closeAll(): void {
    for (const watcher of [...this.#watchers]) watcher.close();
  }

  #trim(): void {
    const { changesMax, bytesMax } = this.#limits;
    while (
      this.#changes.length - this.#head > changesMax ||
      (this.#bytes > bytesMax && this.#changes.length > this.#head)
    ) {
      const gone = this.#changes[this.#head]!;
      this.#bytes -= gone.bytes;
      this.#floor = gone.revision;
      this.#head++;
    }
    if (this.#head > changesMax || this.#head === this.#changes.length) {
      this.#changes = this.#changes.slice(this.#head);
      this.#head = 0;
    }
  }
}

/** One follower: changes in order through `next`, undefined once closed and (if slow) at once. */
export class Watcher {
  readonly resource: string;
  readonly #limits: WatchCacheLimits;
  readonly #onClose: () => void;
  #pending: Change[];
  #pendingBytes = 0;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(
    resource: string,
    missed: Change[],
    limits: WatchCacheLimits,
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
