/**
 * Tells each node the topics its rules take messages of and the URLs its applications may ask for,
 * when it comes and when they change. What a node was told last is kept, so that a node whose last
 * rule went while it was away is told too.
 */
import { fullJitterMs } from "../../shared/async/backoff.ts";
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import type { Store } from "../../shared/store/port.ts";
import {
  RULE_TOPICS_MAX,
  RULE_TOPICS_PATH,
  RULE_URLS_PATH,
} from "../../shared/wire/rule_message.ts";
import type { Nodes } from "./port.ts";
import type { RuleTable } from "./rule_table.ts";

/** Node -> the topics it was told. */
export const TOLD_BUCKET = "rule_topics/v1";
/** Node -> the URLs it was told. */
export const TOLD_URLS_BUCKET = "rule_urls/v1";
const BACKOFF = { initialMs: 1_000, maxMs: 60_000 };
const TIMEOUT_MS = 15_000;

const log = roomLogger("cloud", "rules");

interface List {
  bucket: string;
  path: string;
  of: (table: RuleTable, node: string) => string[];
}

const LISTS: readonly List[] = [
  { bucket: TOLD_BUCKET, path: RULE_TOPICS_PATH, of: (table, node) => table.topicsOf(node) },
  { bucket: TOLD_URLS_BUCKET, path: RULE_URLS_PATH, of: (table, node) => table.urlsOf(node) },
];

export interface TopicTellerOptions {
  nodes: Nodes;
  table: () => RuleTable;
  store: Store;
  clock: Clock;
  random: Random;
}

export class TopicTeller {
  readonly #options: TopicTellerOptions;
  readonly #wakeup = new Wakeup();
  /** Path and node -> its session that was told, and what. */
  readonly #told = new Map<string, string>();

  constructor(options: TopicTellerOptions) {
    this.#options = options;
  }

  /** The rules have changed. */
  look(): void {
    this.#wakeup.wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { nodes, clock, random } = this.#options;
    const unsubscribe = nodes.subscribe(() => this.#wakeup.wake());
    let failures = 0;
    try {
      for (;;) {
        const isDone = await this.#tellAll(signal);
        if (isDone) {
          failures = 0;
          await this.#wakeup.wait(signal);
        } else {
          const pauseMs = fullJitterMs(BACKOFF, failures++, random);
          await waitAtMost(this.#wakeup, clock, Math.max(pauseMs, 250), signal);
        }
      }
    } finally {
      unsubscribe();
    }
  }

  async #tellAll(signal: AbortSignal): Promise<boolean> {
    const { nodes, store, table } = this.#options;
    let isDone = true;
    for (const list of LISTS) {
      const known = store.list(list.bucket).map(({ key }) => key);
      const concerned = [...table().nodes()].filter((node) => list.of(table(), node).length > 0);
      for (const node of new Set([...concerned, ...known])) {
        const session = nodes.get(node);
        if (!session) this.#told.delete(`${list.path} ${node}`);
        else if (!await this.#tell(list, node, session.sinceMs, signal)) isDone = false;
      }
    }
    return isDone;
  }

  async #tell(list: List, node: string, sinceMs: number, signal: AbortSignal): Promise<boolean> {
    const { nodes, store, table } = this.#options;
    const { bucket, path } = list;
    const wanted = list.of(table(), node).slice(0, RULE_TOPICS_MAX);
    const body = JSON.stringify(wanted);
    const mark = `${sinceMs} ${body}`;
    if (this.#told.get(`${path} ${node}`) === mark) return true;
    try {
      if (wanted.length > 0) {
        // first: from now on it may have to be told otherwise
        await store.commit([{ op: "put", bucket, key: node, value: wanted }]);
      }
      const answer = await nodes.fetch(
        node,
        new Request(`http://node${path}`, {
          method: "PUT",
          body,
          signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
        }),
      );
      await answer.body?.cancel();
      if (answer.status === 404) {
        // it may be a newer program when it comes again
        log.warning("Node is too old for its rules", { node, path });
      } else if (!answer.ok) {
        throw new AppError("unavailable", `it answered ${answer.status}`);
      } else if (wanted.length === 0) {
        await store.commit([{ op: "delete", bucket, key: node }]);
      }
      this.#told.set(`${path} ${node}`, mark);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      log.warning("Rules not told", { node, path, error: errorChain(error) });
      return false;
    }
  }
}
