/**
 * Changes on their way to one reader: the latest per kind, device and property, and a bound on how
 * many. A reader that falls behind it is told to read everything instead, so that it never costs
 * more than its bound, and never misses the last word.
 */
import { Wakeup } from "../../shared/async/wakeup.ts";
import { deviceKey } from "./rows.ts";
import type { FeedItem, FeedOptions, TwinChange, TwinFeed } from "./port.ts";

/** Three changes of some thousand devices; about 2 MB when full. */
const CAPACITY_DEFAULT = 10_000;

export class Feeds {
  readonly #feeds = new Set<Feed>();

  subscribe(options: FeedOptions = {}): TwinFeed {
    const feed = new Feed(options, () => this.#feeds.delete(feed));
    this.#feeds.add(feed);
    return feed;
  }

  publish(changes: readonly TwinChange[]): void {
    for (const feed of this.#feeds) feed.offer(changes);
  }
}

class Feed implements TwinFeed {
  readonly #options: FeedOptions;
  readonly #onClose: () => void;
  readonly #wakeup = new Wakeup();
  #changes = new Map<string, TwinChange>();
  #resync = true;

  constructor(options: FeedOptions, onClose: () => void) {
    this.#options = options;
    this.#onClose = onClose;
  }

  offer(changes: readonly TwinChange[]): void {
    if (this.#resync) return; // its reader will read what these tell
    for (const change of changes) if (this.#wants(change)) this.#add(change);
    if (this.#resync || this.#changes.size > 0) this.#wakeup.wake();
  }

  async next(signal: AbortSignal): Promise<FeedItem> {
    while (!this.#resync && this.#changes.size === 0) await this.#wakeup.wait(signal);
    signal.throwIfAborted();
    if (this.#resync) {
      this.#resync = false;
      return { kind: "resync" };
    }
    const changes = [...this.#changes.values()];
    this.#changes = new Map();
    return { kind: "changes", changes };
  }

  close(): void {
    this.#onClose();
  }

  #wants({ kind, device }: TwinChange): boolean {
    const { device: only, kinds } = this.#options;
    if (kinds && !kinds.includes(kind)) return false;
    return !only || (only.name === device.name && only.namespace === device.namespace);
  }

  #add(change: TwinChange): void {
    const property = "property" in change ? change.property : "";
    const key = `${change.kind}/${deviceKey(change.device)}/${property}`;
    const earlier = this.#changes.get(key);
    this.#changes.delete(key); // to the end: order is that of the last change
    this.#changes.set(key, joined(earlier, change));
    if (this.#changes.size <= (this.#options.capacity ?? CAPACITY_DEFAULT)) return;
    this.#changes.clear();
    this.#resync = true;
  }
}

/** Both as one: from what was before the first to what is after the last. */
function joined(first: TwinChange | undefined, last: TwinChange): TwinChange {
  if (first?.kind === "state" && last.kind === "state") return { ...last, before: first.before };
  const both = first && "property" in first && "property" in last;
  return both ? { ...last, before: first.before } : last;
}
