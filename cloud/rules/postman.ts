/**
 * Delivers the messages that wait: one worker a line while it has any, so that each target gets its
 * own in order and one that is away holds up no other. What fails is tried again with growing,
 * jittered pauses until it is delivered or too old; what a target will never take is dropped.
 */
import { fullJitterMs } from "../../shared/async/backoff.ts";
import type { TaskScope } from "../../shared/async/task_scope.ts";
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, isAppError } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import { MESSAGE_ID_HEADER, RULE_PUBLISH_PATH } from "../../shared/wire/rule_message.ts";
import type { Asker } from "./asker.ts";
import type { Mailbox, StoredMessage } from "./mailbox.ts";
import type { Nodes } from "./port.ts";
import type { RestTargets } from "./rest_targets.ts";
import type { RuleCounts } from "./rule_counts.ts";
import type { RuleTable } from "./rule_table.ts";

const BACKOFF = { initialMs: 1_000, maxMs: 60_000 };
const PAUSE_MS_MIN = 250;
const TIMEOUT_MS = 60_000;
/** Deliveries under way: sockets, and bodies in memory. */
const UNDER_WAY_MAX = 64;
/** Of a target that answered: the request itself is wrong, whenever it comes. */
const FOR_GOOD = [400, 405, 406, 409, 410, 411, 413, 414, 415, 422, 501];

const log = roomLogger("cloud", "rules");

export interface PostmanOptions {
  mailbox: Mailbox;
  nodes: Nodes;
  targets: RestTargets;
  table: () => RuleTable;
  counts: RuleCounts;
  asker: Asker;
  clock: Clock;
  random: Random;
}

export class Postman {
  readonly #options: PostmanOptions;
  readonly #workers = new Map<string, Wakeup>();
  readonly #room = new Wakeup();
  #underWay = 0;

  constructor(options: PostmanOptions) {
    this.#options = options;
  }

  start(scope: TaskScope): void {
    const { mailbox, nodes } = this.#options;
    const employ = (line: string) => this.#employ(line, scope);
    mailbox.listen(employ);
    for (const line of mailbox.lines) employ(line);
    const unsubscribe = nodes.subscribe(() => {
      for (const [line, wakeup] of this.#workers) {
        if (line.startsWith("node ") && nodes.get(line.slice(5))) wakeup.wake();
      }
    });
    scope.signal.addEventListener("abort", unsubscribe, { once: true });
  }

  #employ(line: string, scope: TaskScope): void {
    if (this.#workers.has(line) || scope.signal.aborted) return;
    const wakeup = new Wakeup();
    this.#workers.set(line, wakeup);
    scope.spawn(`rule messages ${line}`, (signal) => this.#work(line, wakeup, signal));
  }

  async #work(line: string, wakeup: Wakeup, signal: AbortSignal): Promise<void> {
    const { mailbox, clock, random } = this.#options;
    let failures = 0;
    try {
      for (;;) {
        const waiting = mailbox.next(line);
        if (!waiting) return;
        if (await this.#attempt(line, waiting.id, waiting.message, signal)) {
          failures = 0;
          continue;
        }
        const pauseMs = Math.max(PAUSE_MS_MIN, fullJitterMs(BACKOFF, failures++, random));
        await waitAtMost(wakeup, clock, pauseMs, signal);
      }
    } finally {
      this.#workers.delete(line);
    }
  }

  /** True when the message is done with. */
  async #attempt(
    line: string,
    id: number,
    message: StoredMessage,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { asker, counts, mailbox } = this.#options;
    try {
      await this.#deliver(message, signal);
      counts.succeeded(message.namespace, message.rule);
    } catch (error) {
      signal.throwIfAborted();
      const problem = `${message.topic}: ${errorChain(error)}`;
      counts.failed(message.namespace, message.rule, problem);
      if (!isAppError(error, "invalid")) return false;
      log.warning("Message of a rule dropped", { line, problem });
      if (message.asker !== undefined) asker.tell(message.asker, message.id, { problem });
    }
    try {
      await mailbox.remove(line, id);
      return true;
    } catch (error) {
      log.warning("Message of a rule not forgotten", { line, error: errorChain(error) });
      return false;
    }
  }

  async #deliver(message: StoredMessage, signal: AbortSignal): Promise<void> {
    while (this.#underWay >= UNDER_WAY_MAX) await this.#room.wait(signal);
    this.#underWay++;
    const late = new AbortController();
    const over = new AbortController();
    const ends = AbortSignal.any([signal, over.signal]);
    const timer = this.#options.clock.sleep(TIMEOUT_MS, ends).then(() =>
      late.abort(new AppError("unavailable", `no answer within ${TIMEOUT_MS / 1_000} s`))
    );
    void timer.catch(() => {}); // it was answered in time, or all ends
    try {
      const both = AbortSignal.any([signal, late.signal]);
      if (message.asker !== undefined) {
        return await this.#options.asker.ask(message.asker, message, both);
      }
      const answer = message.node === undefined
        ? await this.#toUrl(message, both)
        : await this.#toNode(message.node, message, both);
      const said = (await answer.text()).slice(0, 200);
      if (answer.ok) return;
      const code = FOR_GOOD.includes(answer.status) ? "invalid" : "unavailable";
      throw new AppError(code, `answered ${answer.status}${said === "" ? "" : ` (${said})`}`);
    } finally {
      over.abort();
      this.#underWay--;
      this.#room.wake();
    }
  }

  async #toNode(node: string, message: StoredMessage, signal: AbortSignal): Promise<Response> {
    const { nodes } = this.#options;
    if (!nodes.get(node)) throw new AppError("unavailable", `node ${node} is away`);
    const query = new URLSearchParams({ topic: message.topic });
    return await nodes.fetch(
      node,
      new Request(`http://node${RULE_PUBLISH_PATH}?${query}`, {
        method: "POST",
        headers: { [MESSAGE_ID_HEADER]: message.id },
        body: new Uint8Array(message.payload),
        signal,
      }),
    );
  }

  /** To where the rule leads now. */
  async #toUrl(message: StoredMessage, signal: AbortSignal): Promise<Response> {
    const { namespace, rule: name, id, payload, topic } = message;
    const rule = this.#options.table().topicRule({ namespace, name });
    if (!rule) throw new AppError("invalid", "the rule is gone");
    return await this.#options.targets.fetch(rule.url, {
      method: "POST",
      headers: {
        "content-type": message.contentType ?? "application/octet-stream",
        [MESSAGE_ID_HEADER]: id,
        "x-skerry-topic": encodeURI(topic),
      },
      body: new Uint8Array(payload),
      signal,
    });
  }
}
