/**
 * Tells each node the topics its rules take messages of, when it comes and when they change. What a
 * node was told last is kept, so that a node whose last rule went while it was away is told too.
 */
import { fullJitterMs } from "../../shared/async/backoff.ts";
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import type { Store } from "../../shared/store/port.ts";
import { RULE_TOPICS_MAX, RULE_TOPICS_PATH } from "../../shared/wire/rule_message.ts";
import type { Nodes } from "./port.ts";
import type { RuleTable } from "./rule_table.ts";

/** Node -> the topics it was told. */
export const TOLD_BUCKET = "rule_topics/v1";
const BACKOFF = { initialMs: 1_000, maxMs: 60_000 };
const TIMEOUT_MS = 15_000;

const log = roomLogger("cloud", "rules");

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
  /** Node -> its session that was told, and what. */
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
    const { nodes, store } = this.#options;
    const known = store.list(TOLD_BUCKET).map(({ key }) => key);
    const concerned = new Set([...this.#options.table().nodes(), ...known]);
    let isDone = true;
    for (const node of concerned) {
      const session = nodes.get(node);
      if (!session) this.#told.delete(node);
      else if (!await this.#tell(node, session.sinceMs, signal)) isDone = false;
    }
    return isDone;
  }

  async #tell(node: string, sinceMs: number, signal: AbortSignal): Promise<boolean> {
    const { nodes, store, table } = this.#options;
    const topics = table().topicsOf(node).slice(0, RULE_TOPICS_MAX);
    const body = JSON.stringify(topics);
    const mark = `${sinceMs} ${body}`;
    if (this.#told.get(node) === mark) return true;
    try {
      if (topics.length > 0) {
        // first: from now on it may have to be told otherwise
        await store.commit([{ op: "put", bucket: TOLD_BUCKET, key: node, value: topics }]);
      }
      const answer = await nodes.fetch(
        node,
        new Request(`http://node${RULE_TOPICS_PATH}`, {
          method: "PUT",
          body,
          signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
        }),
      );
      await answer.body?.cancel();
      if (!answer.ok) throw new AppError("unavailable", `it answered ${answer.status}`);
      if (topics.length === 0) {
        await store.commit([{ op: "delete", bucket: TOLD_BUCKET, key: node }]);
      }
      this.#told.set(node, mark);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      log.warning("Topics of rules not told", { node, error: errorChain(error) });
      return false;
    }
  }
}
