/**
 * The node's end of rules. Up: messages on the topics its rules name are kept in the outbox, on
 * disk, before their sender is acknowledged, and go to the cloud when there is one. Which topics
 * those are, and which URLs applications may ask for (service_bus.ts), the cloud says, and the node
 * remembers over restarts. Down, at the cloud's request through the tunnel: messages for a topic,
 * requests for a service on the node's loopback, and answers to its applications.
 */
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, type ErrorCode, isAppError } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import type { Store } from "../../shared/store/port.ts";
import {
  ANSWER_STATUS_HEADER,
  MESSAGE_ID_HEADER,
  parseTopics,
  RULE_ANSWER_BYTES_MAX,
  RULE_ANSWERS_PATH,
  RULE_PAYLOAD_BYTES_MAX,
  RULE_PUBLISH_PATH,
  RULE_SERVICE_PATH,
  RULE_TOPICS_PATH,
  RULE_URLS_PATH,
} from "../../shared/wire/rule_message.ts";
import type { AppMessage } from "../mqtt/port.ts";
import { untilAborted } from "../../shared/async/task_scope.ts";
import type { Answers, RuleBus, RuleOutbox } from "./port.ts";
import { readBody } from "./read_body.ts";
import { callService } from "./service.ts";

export const RULE_TOPICS_BUCKET = "rule_topics/v1";
export const RULE_URLS_BUCKET = "rule_urls/v1";
const TOPICS_ROW = "topics";
const URLS_ROW = "urls";
const TOPICS_BYTES_MAX = 4 * 1024 * 1024;
/** Messages published lately: one that comes again is not published again. */
const IDS_MAX = 1_000;

const STATUS: Partial<Record<ErrorCode, number>> = {
  invalid: 400,
  not_found: 404,
  exhausted: 429,
  unavailable: 503,
};

const log = roomLogger("edge", "rules");

export interface EdgeRulesOptions {
  store: Store;
  outbox: RuleOutbox;
  /** Where applications wait for answers; undefined where none can ask. */
  answers?: () => Answers | undefined;
  clock: Clock;
  random: Random;
}

/** What applications of this node may ask for, as the cloud said last. */
export function ruleUrls(store: Store): readonly string[] {
  return store.get<string[]>(RULE_URLS_BUCKET, URLS_ROW) ?? [];
}

export class EdgeRules {
  readonly #options: EdgeRulesOptions;
  readonly #subscriptions = new Map<string, () => void>();
  readonly #published = new Set<string>();
  #bus: RuleBus | undefined;

  constructor(options: EdgeRulesOptions) {
    this.#options = options;
  }

  /** Follows the topics of the rules, on `bus`. */
  async run(bus: RuleBus, signal: AbortSignal): Promise<void> {
    this.#bus = bus;
    this.#subscribe();
    await untilAborted(signal);
    this.#bus = undefined;
    for (const end of this.#subscriptions.values()) end();
    this.#subscriptions.clear();
  }

  /** True for requests of the cloud that are for this room. */
  static isFor(request: Request): boolean {
    const { pathname } = new URL(request.url);
    return [RULE_TOPICS_PATH, RULE_URLS_PATH, RULE_PUBLISH_PATH].includes(pathname) ||
      pathname.startsWith(`${RULE_SERVICE_PATH}/`) ||
      pathname.startsWith(`${RULE_ANSWERS_PATH}/`);
  }

  async handle(request: Request): Promise<Response> {
    const url = new URL(request.url);
    try {
      if (url.pathname === RULE_TOPICS_PATH) return await this.#setTopics(request);
      if (url.pathname === RULE_URLS_PATH) return await this.#setUrls(request);
      if (url.pathname.startsWith(`${RULE_ANSWERS_PATH}/`)) return await this.#answer(request, url);
      if (url.pathname === RULE_PUBLISH_PATH) return await this.#publish(request, url);
      return await callService(request, url, this.#options.clock);
    } catch (error) {
      request.signal.throwIfAborted();
      const status = isAppError(error) ? STATUS[error.code] ?? 500 : 500;
      return new Response(errorChain(error), { status });
    }
  }

  async #setTopics(request: Request): Promise<Response> {
    await this.#keepList(request, RULE_TOPICS_BUCKET, TOPICS_ROW);
    this.#subscribe();
    return new Response(null, { status: 204 });
  }

  async #setUrls(request: Request): Promise<Response> {
    await this.#keepList(request, RULE_URLS_BUCKET, URLS_ROW);
    return new Response(null, { status: 204 });
  }

  async #keepList(request: Request, bucket: string, key: string): Promise<void> {
    const text = new TextDecoder().decode(await readBody(request, TOPICS_BYTES_MAX));
    const value = parseTopics(tryParse(text));
    await this.#options.store.commit([{ op: "put", bucket, key, value }]);
  }

  async #answer(request: Request, url: URL): Promise<Response> {
    const id = url.pathname.slice(RULE_ANSWERS_PATH.length + 1);
    const status = Number(request.headers.get(ANSWER_STATUS_HEADER) ?? NaN);
    if (!Number.isInteger(status) || status < 0 || status > 599) {
      throw new AppError("invalid", `Cannot take answer: ${ANSWER_STATUS_HEADER} must be a status`);
    }
    const body = new TextDecoder().decode(await readBody(request, RULE_ANSWER_BYTES_MAX));
    const isHeard = this.#options.answers?.()?.answered(id, { status, body }) ?? false;
    if (!isHeard) throw new AppError("not_found", "Nobody waits for this answer");
    return new Response(null, { status: 204 });
  }

  #subscribe(): void {
    const bus = this.#bus;
    if (!bus) return;
    const wanted = this.#options.store.get<string[]>(RULE_TOPICS_BUCKET, TOPICS_ROW) ?? [];
    for (const [filter, end] of [...this.#subscriptions]) {
      if (wanted.includes(filter)) continue;
      end();
      this.#subscriptions.delete(filter);
    }
    for (const filter of wanted) {
      if (this.#subscriptions.has(filter)) continue;
      try {
        const end = bus.subscribe(filter, (message) => this.#take(filter, message));
        this.#subscriptions.set(filter, end);
      } catch (error) {
        log.warning("Topic of a rule not followed", { filter, error: errorChain(error) });
      }
    }
  }

  /** Kept, on disk, when it resolves. */
  async #take(filter: string, { topic, payload }: AppMessage): Promise<void> {
    if (payload.byteLength > RULE_PAYLOAD_BYTES_MAX) {
      const limit = `at most ${RULE_PAYLOAD_BYTES_MAX} bytes, got ${payload.byteLength}`;
      throw new AppError("invalid", `Cannot take a message of ${topic}: must be ${limit}`);
    }
    const id = this.#options.random.uuid();
    const message = { id, filter, topic, payload: new Uint8Array(payload).toBase64() };
    const report = { kind: "rule_message", message } as const;
    await this.#options.outbox.append("telemetry", [{ key: `rule/${id}`, report }]);
  }

  async #publish(request: Request, url: URL): Promise<Response> {
    const topic = url.searchParams.get("topic") ?? "";
    if (topic === "" || /[+#\0]/.test(topic)) {
      throw new AppError("invalid", `Cannot publish: "${topic}" is no topic to publish to`);
    }
    const id = request.headers.get(MESSAGE_ID_HEADER);
    const payload = await readBody(request, RULE_PAYLOAD_BYTES_MAX);
    if (id !== null && this.#published.has(id)) return new Response(null, { status: 204 });
    if (!this.#bus) throw new AppError("unavailable", "Cannot publish: no event bus here");
    await this.#bus.publish({ topic, payload }, request.signal);
    if (id !== null) this.#remember(id);
    return new Response(null, { status: 204 });
  }

  #remember(id: string): void {
    this.#published.add(id);
    if (this.#published.size <= IDS_MAX) return;
    for (const oldest of this.#published) {
      this.#published.delete(oldest);
      break;
    }
  }
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AppError("invalid", "Cannot read topics: not JSON");
  }
}
