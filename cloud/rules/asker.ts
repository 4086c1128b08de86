/**
 * Requests of applications at nodes: asked of the REST target the rule leads to, the answer told to
 * the node the application is at. What the target says is the answer, whatever its status; only a
 * target that is not there, or says that it is not, is asked again. An answer is not kept: a node
 * that is away for longer than its application waits never hears it.
 */
import type { TaskScope } from "../../shared/async/task_scope.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import {
  ANSWER_STATUS_HEADER,
  MESSAGE_ID_HEADER,
  RULE_ANSWER_BYTES_MAX,
  RULE_ANSWERS_PATH,
} from "../../shared/wire/rule_message.ts";
import type { StoredMessage } from "./mailbox.ts";
import type { Nodes } from "./port.ts";
import type { RestTargets } from "./rest_targets.ts";
import type { RuleTable } from "./rule_table.ts";

/** Of what stands before a target: it is not there now. */
const AWAY = [408, 425, 429, 502, 503, 504];
/** Answers on their way, each of at most a megabyte. */
const TELLING_MAX = 64;
const TELL_RETRY_MS = 1_000;
/** As long as an application waits. */
const TELL_TRIES = 60;
const TELL_TIMEOUT_MS = 15_000;

const log = roomLogger("cloud", "rules");

/** What a target answered, or why it was never asked. */
export type Answer = { status: number; body: Uint8Array<ArrayBuffer> } | { problem: string };

export interface AskerOptions {
  nodes: Nodes;
  targets: RestTargets;
  table: () => RuleTable;
  clock: Clock;
}

export class Asker {
  readonly #options: AskerOptions;
  #scope: TaskScope | undefined;
  #telling = 0;

  constructor(options: AskerOptions) {
    this.#options = options;
  }

  start(scope: TaskScope): void {
    this.#scope = scope;
  }

  /** Resolves when the target has answered; AppError "unavailable" when it is to be asked again. */
  async ask(node: string, message: StoredMessage, signal: AbortSignal): Promise<void> {
    const { namespace, rule: name, id, payload } = message;
    const rule = this.#options.table().requestRule({ namespace, name });
    if (!rule) throw new AppError("invalid", "the rule is gone");
    const response = await this.#options.targets.fetch(rule.url, {
      method: "POST",
      headers: { "content-type": "application/json", nodename: node, [MESSAGE_ID_HEADER]: id },
      body: new Uint8Array(payload),
      signal,
    });
    const { status } = response;
    if (AWAY.includes(status)) {
      await response.body?.cancel();
      throw new AppError("unavailable", `answered ${status}`);
    }
    const body = await readAtMost(response, RULE_ANSWER_BYTES_MAX);
    this.tell(
      node,
      id,
      body
        ? { status, body }
        : { problem: `the target's answer is larger than ${RULE_ANSWER_BYTES_MAX} bytes` },
    );
    if (status >= 400) log.debug("Target of a rule refused a request", { rule: name, status });
  }

  /** Tells the node's application, while it may still wait for it. */
  tell(node: string, id: string, answer: Answer): void {
    const scope = this.#scope;
    if (!scope || scope.signal.aborted || this.#telling >= TELLING_MAX) return;
    this.#telling++;
    scope.spawn(`rule answer ${id}`, async (signal) => {
      try {
        await this.#keepTelling(node, id, answer, signal);
      } finally {
        this.#telling--;
      }
    });
  }

  async #keepTelling(
    node: string,
    id: string,
    answer: Answer,
    signal: AbortSignal,
  ): Promise<void> {
    const { nodes, clock } = this.#options;
    for (let attempt = 0; attempt < TELL_TRIES; attempt++) {
      try {
        if (nodes.get(node)) return await this.#tellOnce(node, id, answer, signal);
      } catch (error) {
        signal.throwIfAborted();
        log.debug("Answer of a rule's target not told", { node, id, error: errorChain(error) });
      }
      await clock.sleep(TELL_RETRY_MS, signal);
    }
  }

  async #tellOnce(node: string, id: string, answer: Answer, signal: AbortSignal): Promise<void> {
    const [status, body] = "problem" in answer ? [0, answer.problem] : [answer.status, answer.body];
    const response = await this.#options.nodes.fetch(
      node,
      new Request(`http://node${RULE_ANSWERS_PATH}/${encodeURIComponent(id)}`, {
        method: "POST",
        headers: { [ANSWER_STATUS_HEADER]: String(status) },
        body,
        signal: AbortSignal.any([signal, AbortSignal.timeout(TELL_TIMEOUT_MS)]),
      }),
    );
    await response.body?.cancel(); // 404 when nobody waits any more
  }
}

/** Undefined when it is larger. */
async function readAtMost(
  { body }: Response,
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > bytesMax) return undefined;
    chunks.push(chunk);
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}
