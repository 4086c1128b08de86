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

const SUBSCRIPTIONS_MAX = 1_000;

export class AppMessages {
  /** Notified when the filters have changed. */
  readonly changes = new Changes();
  readonly #takers = new Map<object, { filter: string; take: Take }>();
  readonly #counters: Counters;

  constructor(counters: Counters) {
    this.#counters = counters;
  }

  /** What an external broker is asked for: KubeEdge's own, and those of takers. */
  filters(): string[] {
    return [
      ...new Set([...APP_FILTERS, ...[...this.#takers.values()].map(({ filter }) => filter)]),
    ];
  }

  subscribe(filter: string, take: Take): () => void {
    const problem = filterProblem(filter);
    if (problem !== undefined) throw new AppError("invalid", `Filter ${filter} ${problem}`);
    if (this.#takers.size >= SUBSCRIPTIONS_MAX) {
      throw new AppError("exhausted", `Filters must be <= ${SUBSCRIPTIONS_MAX}`);
    }
    const key = {};
    this.#takers.set(key, { filter, take });
    this.changes.notify();
    return () => {
      if (this.#takers.delete(key)) this.changes.notify();
    };
  }

  async take(message: AppMessage): Promise<void> {
    const takers = [...this.#takers.values()].filter(({ filter }) =>
      topicMatches(filter, message.topic)
    );
    if (takers.length > 0) {
      await Promise.all(takers.map(({ take }) => take(message)));
    } else if (APP_FILTERS.some((filter) => topicMatches(filter, message.topic))) {
      this.#counters.drop("not_taken");
    }
  }
}
