/**
 * A rule's status: how many messages went well and how many tries did not, and the last errors.
 * Counted in memory and written together, every few seconds while there is something: a busy rule
 * costs one write, not one a message.
 */
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { errorChain, isAppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import { roomLogger } from "../../shared/log.ts";
import type { KubeClient } from "../kube/port.ts";
import type { Rule } from "./port.ts";

const WRITE_MS = 2_000;
const ERRORS_MAX = 10;
const ERROR_CHARS_MAX = 256;
const TRIES = 5;

const log = roomLogger("cloud", "rules");

interface News {
  successes: number;
  failures: number;
  errors: string[];
}

export class RuleCounts {
  readonly #kube: KubeClient;
  readonly #clock: Clock;
  readonly #wakeup = new Wakeup();
  /** Bounded by the number of rules. */
  readonly #news = new Map<string, News>();

  constructor(kube: KubeClient, clock: Clock) {
    this.#kube = kube;
    this.#clock = clock;
  }

  succeeded(namespace: string, name: string): void {
    this.#of(namespace, name).successes++;
    this.#wakeup.wake();
  }

  failed(namespace: string, name: string, problem: string): void {
    const news = this.#of(namespace, name);
    news.failures++;
    news.errors = newest([...news.errors, problem.slice(0, ERROR_CHARS_MAX)]);
    this.#wakeup.wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#wakeup.wait(signal);
      await this.#clock.sleep(WRITE_MS, signal);
      for (const [key, news] of [...this.#news]) {
        this.#news.delete(key);
        await this.#write(key, news, signal);
      }
    }
  }

  async #write(key: string, news: News, signal: AbortSignal): Promise<void> {
    const [namespace = "", name = ""] = key.split("/");
    for (let attempt = 0; attempt < TRIES; attempt++) {
      try {
        const rule = await this.#kube.get<Rule>(GVR.rules, { namespace, name }, signal);
        const { successMessages = 0, failMessages = 0, errors = [] } = rule.status ?? {};
        const status = {
          successMessages: successMessages + news.successes,
          failMessages: failMessages + news.failures,
          errors: newest([...errors, ...news.errors]),
        };
        const updated = { ...rule, status };
        await this.#kube.update<Rule>(GVR.rules, updated, signal, { subresource: "status" });
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (isAppError(error, "not_found")) return; // it is gone, and what it counted
        if (isAppError(error, "conflict")) continue;
        log.warning("Status of a rule not written", { rule: key, error: errorChain(error) });
        return;
      }
    }
  }

  #of(namespace: string, name: string): News {
    const key = `${namespace}/${name}`;
    let news = this.#news.get(key);
    if (!news) this.#news.set(key, news = { successes: 0, failures: 0, errors: [] });
    return news;
  }
}

/** Each once, the last ones. */
function newest(errors: readonly string[]): string[] {
  return [...new Set(errors.toReversed())].slice(0, ERRORS_MAX).reverse();
}
