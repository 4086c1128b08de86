/**
 * The body of a watch reply: pulled by the client (so a client that does not read holds nothing but
 * its bounded watcher), ended by its going away, its deadline, its slowness or the server's close.
 */
import { type Clock, nextTurn } from "../../shared/clock.ts";
import { isAbort } from "../../shared/errors.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import type { Change } from "./change_ring.ts";
import type { WatchCache } from "./watch_cache.ts";
import type { Watcher } from "./watcher.ts";

/** How often a quiet watch that allows it is told the newest revision. */
const BOOKMARK_MS = 60_000;
/** Characters of events gathered into one chunk of the reply. */
const CHUNK_MAX = 64 * 1024;

/** Events as text, in the form the client asked for. */
export interface WatchWriter {
  event(type: string, object: KubeObject): string;
  bookmark(revision: number, annotations?: Record<string, string>): string;
}

export interface Selection {
  namespace: string | undefined;
  matches: (object: KubeObject) => boolean;
}

export interface WatchStreamOptions {
  clock: Clock;
  cache: WatchCache;
  watcher: Watcher;
  selection: Selection;
  write: WatchWriter;
  bookmarks: boolean;
  timeoutMs: number;
  signal: AbortSignal;
}

/** How a change looks to a client that sees only `selection`; undefined when it sees nothing. */
export function seenAs(
  change: Change,
  { namespace, matches }: Selection,
): { type: string; object: KubeObject } | undefined {
  if (namespace !== undefined && !change.key.startsWith(`${namespace}/`)) return undefined;
  const was = change.before !== undefined && matches(change.before);
  if (change.type === "DELETED") {
    return was ? { type: "DELETED", object: change.object } : undefined;
  }
  const is = matches(change.object);
  if (is) return { type: was ? "MODIFIED" : "ADDED", object: change.object };
  if (!was) return undefined;
  // It left the selection: the client is shown what it knew, at the revision of the leaving.
  const before = change.before!;
  const metadata = { ...before.metadata, resourceVersion: String(change.revision) };
  return { type: "DELETED", object: { ...before, metadata } };
}

export class WatchStream {
  readonly #options: WatchStreamOptions;
  readonly #done = new AbortController();
  readonly #deadlineMs: number;
  #bookmarkAtMs: number;
  /** As of the last bookmark. */
  #told: number | undefined;
  #revision: number;
  #initial: string[] = [];
  #endMark: string | undefined;
  #lastChars = 0;

  constructor(options: WatchStreamOptions) {
    this.#options = options;
    const nowMs = options.clock.monotonicMs();
    this.#deadlineMs = nowMs + options.timeoutMs;
    this.#bookmarkAtMs = nowMs + BOOKMARK_MS;
    this.#revision = options.cache.revision;
  }

  /** The stream; `initial` objects come first, then (if asked for) the mark that they ended. */
  open(initial: readonly KubeObject[], initialEventsEnd: boolean): ReadableStream<Uint8Array> {
    const { write, watcher, signal } = this.#options;
    const objects = initial[Symbol.iterator]();
    const mark = initialEventsEnd
      ? write.bookmark(this.#revision, { "k8s.io/initial-events-end": "true" })
      : undefined;
    this.#endMark = mark;
    const encoder = new TextEncoder();
    signal.addEventListener("abort", this.#end, { once: true });
    if (signal.aborted) this.#end();
    void this.#tick().catch(() => watcher.close()); // without its clock a watch may not live on
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        // after a full chunk more is likely to be there: others come first
        if (this.#lastChars >= CHUNK_MAX) await nextTurn();
        const text = this.#gatherInitial(objects) ?? await this.#next();
        this.#lastChars = text?.length ?? 0;
        if (text === undefined) {
          this.#end();
          controller.close();
        } else controller.enqueue(encoder.encode(text));
      },
      cancel: this.#end,
    }, { highWaterMark: 0 });
  }

  readonly #end = (): void => {
    this.#done.abort();
    this.#options.watcher.close();
    this.#options.signal.removeEventListener("abort", this.#end);
  };

  #gatherInitial(objects: Iterator<KubeObject>): string | undefined {
    let text = "";
    while (text.length < CHUNK_MAX) {
      const next = objects.next();
      if (next.done) break;
      text += this.#options.write.event("ADDED", next.value);
    }
    if (text === "" && this.#endMark !== undefined) {
      text = this.#endMark;
      this.#endMark = undefined;
    }
    return text === "" ? undefined : text;
  }

  /** The next events; undefined when the watch is over. */
  async #next(): Promise<string | undefined> {
    const { clock, watcher, bookmarks, cache, write } = this.#options;
    while (true) {
      const text = this.#gatherChanges();
      if (text !== "") return text;
      if (watcher.closed) return undefined;
      // nothing is pending: this client has seen everything up to the newest revision
      const nowMs = clock.monotonicMs();
      if (nowMs >= this.#deadlineMs) return undefined;
      if (nowMs >= this.#bookmarkAtMs) {
        this.#bookmarkAtMs = nowMs + BOOKMARK_MS;
        this.#told = cache.revision;
        if (bookmarks) return write.bookmark(cache.revision);
      }
      await watcher.ready();
    }
  }

  #gatherChanges(): string {
    const { watcher, selection, write } = this.#options;
    let text = "";
    while (text.length < CHUNK_MAX) {
      const change = watcher.poll();
      if (!change) break;
      const seen = seenAs(change, selection);
      if (seen) text += write.event(seen.type, seen.object);
    }
    return text;
  }

  /** Wakes the reader at each bookmark's time and at the deadline. */
  async #tick(): Promise<void> {
    const { clock, watcher, cache } = this.#options;
    const { signal } = this.#done;
    try {
      while (!signal.aborted) {
        const leftMs = this.#deadlineMs - clock.monotonicMs();
        // a bookmark that would say what the last one said is not worth waking anybody
        if (leftMs <= 0 || this.#told !== cache.revision) watcher.nudge();
        if (leftMs <= 0) return; // by the same clock and sum as the reader's: it ends too
        await clock.sleep(Math.min(BOOKMARK_MS, leftMs), signal);
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    }
  }
}
