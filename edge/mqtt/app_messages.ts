/**
 * Messages of applications on their way to whoever takes them: rules, as a later room brings them.
 * What is meant for the cloud and is taken by nobody is counted, so that it can be seen.
 */
import { Changes } from "../../shared/async/wakeup.ts";
import { AppError } from "../../shared/errors.ts";
import type { Counters } from "./counters.ts";
import type { AppMessage } from "./port.ts";
import { APP_FILTERS, filterProblem, topicMatches } from "./topics.ts";

type Take = (message: AppMessage) => Promise<void>;

interface Taker {
  filter: string;
  take: Take;
  /** Is yet to be told what the embedded broker retains. */
  wantsRetained: boolean;
}

const SUBSCRIPTIONS_MAX = 1_000;

export class AppMessages {
  /** Notified when the filters have changed. */
  readonly changes = new Changes();
  readonly #takers = new Set<Taker>();
  readonly #counters: Counters;

  constructor(counters: Counters) {
    this.#counters = counters;
  }

  /** What an external broker is asked for: KubeEdge's own, and those of takers. */
  filters(): string[] {
    return [
      ...new Set([...APP_FILTERS, ...[...this.#takers].map(({ filter }) => filter)]),
    ];
  }

  subscribe(filter: string, take: Take, wantsRetained = false): () => void {
    const problem = filterProblem(filter);
    if (problem !== undefined) throw new AppError("invalid", `Filter ${filter} ${problem}`);
    if (this.#takers.size >= SUBSCRIPTIONS_MAX) {
      throw new AppError("exhausted", `Filters must be <= ${SUBSCRIPTIONS_MAX}`);
    }
    const taker = { filter, take, wantsRetained };
    this.#takers.add(taker);
    this.changes.notify();
    return () => {
      if (this.#takers.delete(taker)) this.changes.notify();
    };
  }

  /** Tells what is retained to those who asked for it and were not told yet. */
  async replay(retained: (filter: string) => Iterable<AppMessage>): Promise<void> {
    for (const taker of this.#takers) {
      if (!taker.wantsRetained) continue;
      taker.wantsRetained = false;
      for (const message of retained(taker.filter)) {
        await taker.take(message);
        if (!this.#takers.has(taker)) break;
      }
    }
  }

  async take(message: AppMessage): Promise<void> {
    const takers = [...this.#takers].filter(({ filter }) => topicMatches(filter, message.topic));
    if (takers.length > 0) {
      await Promise.all(takers.map(({ take }) => take(message)));
    } else if (APP_FILTERS.some((filter) => topicMatches(filter, message.topic))) {
      this.#counters.drop("not_taken");
    }
  }
}
