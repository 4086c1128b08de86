/**
 * The last changes of every resource, in the order of their resource versions, and the watchers
 * that follow them. Each resource has a ring of its own, so that a busy one (leases, statuses)
 * never makes a quiet one forget. Bounded by number in each ring and by bytes in all: beyond those
 * the ring that holds most gives way. A watch (or a paged list) that asks for something its
 * resource has forgotten gets "stale" (HTTP 410) and lists again. After a restart nothing is kept,
 * so the oldest version served is the one the store was opened with.
 */
import { AppError } from "../../shared/errors.ts";
import { type Change, ChangeRing } from "./change_ring.ts";
import { type PendingLimits, Watcher } from "./watcher.ts";

export interface WatchCacheLimits extends PendingLimits {
  /** Of one resource. */
  changesMax: number;
  /** Of all resources together. */
  bytesMax: number;
  watchersMax: number;
}

/**
 * 4096 changes of a resource: minutes of a busy one, weeks of a quiet one. 64 MiB of all caps what
 * big objects can pin. 4096 watchers: a dozen per node of a large fleet. 1024 pending / 8 MiB: a
 * burst, not a dead peer.
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
  readonly #openedAt: number;
  /** As many as there are stored kinds, at most. */
  readonly #rings = new Map<string, ChangeRing>();
  readonly #watchers = new Map<string, Set<Watcher>>();
  #watcherCount = 0;
  #bytes = 0;
  #revision: number;
  #slowWatchers = 0;

  constructor(revision: number, limits: WatchCacheLimits = WATCH_LIMITS) {
    this.#openedAt = revision;
    this.#revision = revision;
    this.#limits = limits;
  }

  /** Revision of the last published change. */
  get revision(): number {
    return this.#revision;
  }

  get watchers(): number {
    return this.#watcherCount;
  }

  /** Of the changes that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Watchers ended because they did not read fast enough, since the start. */
  get slowWatchers(): number {
    return this.#slowWatchers;
  }

  publish(change: Change): void {
    this.#revision = change.revision;
    const ring = this.#ringOf(change.resource);
    ring.push(change);
    this.#bytes += change.bytes;
    if (ring.count > this.#limits.changesMax) this.#bytes -= ring.shift();
    this.#trim();
    for (const watcher of [...this.#watchers.get(change.resource) ?? []]) {
      if (!watcher.offer(change)) {
        this.#slowWatchers++;
        watcher.close();
      }
    }
  }

  /** Changes of `resource` after `revision`, oldest first. Throws "stale" when some are gone. */
  since(resource: string, revision: number): Change[] {
    const ring = this.#rings.get(resource);
    const oldest = ring?.floor ?? this.#openedAt;
    if (revision < oldest || revision > this.#revision) {
      throw new AppError(
        "stale",
        `too old resource version: ${revision} (${oldest})`,
        { requested: revision, oldest, newest: this.#revision },
      );
    }
    return ring?.since(revision) ?? [];
  }

  /** Follows `resource` from after `revision`; the caller closes the watcher. */
  watch(resource: string, revision: number): Watcher {
    if (this.#watcherCount >= this.#limits.watchersMax) {
      throw new AppError("exhausted", "Cannot start watch: too many watches are open", {
        watchersMax: this.#limits.watchersMax,
      });
    }
    const missed = this.since(resource, revision);
    const following = this.#watchers.get(resource) ?? new Set();
    this.#watchers.set(resource, following);
    const watcher = new Watcher(resource, missed, this.#limits, () => {
      following.delete(watcher);
      this.#watcherCount--;
    });
    following.add(watcher);
    this.#watcherCount++;
    return watcher;
  }

  closeAll(): void {
    for (const following of this.#watchers.values()) {
      for (const watcher of [...following]) watcher.close();
    }
  }

  #ringOf(resource: string): ChangeRing {
    const known = this.#rings.get(resource);
    if (known) return known;
    const ring = new ChangeRing(this.#openedAt);
    this.#rings.set(resource, ring);
    return ring;
  }

  /** A ring below its fair share of the bytes is never the largest while there are too many. */
  #trim(): void {
    while (this.#bytes > this.#limits.bytesMax) {
      let largest: ChangeRing | undefined;
      for (const ring of this.#rings.values()) {
        if (!largest || ring.bytes > largest.bytes) largest = ring;
      }
      this.#bytes -= largest!.shift(); // what has bytes is in some ring
    }
  }
}
