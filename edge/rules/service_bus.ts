/**
 * KubeEdge's ServiceBus: an application on the node POSTs `{method, targetURL, payload}`, the rule
 * of that URL leads to a REST target in the cloud, and its answer comes back as
 * `{code, msg, body}`. A request is on disk before anything else; when no answer came in time its
 * application is told that it is kept (202), and it goes on its way all the same.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Clock } from "../../shared/clock.ts";
import { errorChain, isAppError } from "../../shared/errors.ts";
import type { Random } from "../../shared/random.ts";
import { RULE_PAYLOAD_BYTES_MAX } from "../../shared/wire/rule_message.ts";
import type { Answers, RuleOutbox, ServiceBusStatus, TargetAnswer } from "./port.ts";
import { readBody } from "./read_body.ts";

/** Applications that wait at once: each holds an answer of up to a megabyte. */
const WAITING_MAX = 64;
const URL_CHARS_SHOWN = 200;
const LOOPBACK_HOST = /^(localhost|127(?:\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

export interface ServiceBusOptions {
  outbox: RuleOutbox;
  /** What may be asked for now. */
  urls: () => readonly string[];
  /** How long an application waits. */
  timeoutMs: number;
  /** What applications must show; undefined where none need to. */
  token: () => Promise<string | undefined>;
  /** True when others than this machine can reach it: its name is then not looked at. */
  isOpen: boolean;
  clock: Clock;
  random: Random;
}

/** As KubeEdge answers, and what the target's status was and the request's id is. */
interface Reply {
  code: number;
  msg: string;
  body: string;
  status?: number;
  id?: string;
}

export class ServiceBus implements Answers {
  readonly #options: ServiceBusOptions;
  readonly #waiting = new Map<string, (answer: TargetAnswer) => void>();
  readonly #counts = { answered: 0, kept: 0, refused: 0 };

  constructor(options: ServiceBusOptions) {
    this.#options = options;
  }

  status(): Pick<ServiceBusStatus, "urls" | "waiting" | "answered" | "kept" | "refused"> {
    const { urls } = this.#options;
    return { urls: urls().length, waiting: this.#waiting.size, ...this.#counts };
  }

  answered(id: string, answer: TargetAnswer): boolean {
    const hear = this.#waiting.get(id);
    hear?.(answer);
    return hear !== undefined;
  }

  async fetch(request: Request): Promise<Response> {
    const refusal = await this.#judge(request);
    if (refusal) return this.#refuse(refusal.code, refusal.msg, refusal.code);
    let body: Uint8Array<ArrayBuffer>;
    try {
      body = await readBody(request, RULE_PAYLOAD_BYTES_MAX);
    } catch (error) {
      request.signal.throwIfAborted();
      const why = errorChain(error);
      return this.#refuse(400, `can't read data from body of the http's request: ${why}`);
    }
    const url = targetUrlOf(body);
    if (url === undefined) return this.#refuse(400, "invalid params");
    if (!this.#options.urls().includes(url)) {
      const shown = url.slice(0, URL_CHARS_SHOWN);
      const why = "is not allowed and please make a rule for this url in the cloud";
      return this.#refuse(400, `url ${shown} ${why}`);
    }
    if (this.#waiting.size >= WAITING_MAX) {
      return this.#refuse(429, `at most ${WAITING_MAX} requests may wait at once`, 429);
    }
    return await this.#ask(url, body, waitMs(request, this.#options.timeoutMs), request.signal);
  }

  async #ask(
    url: string,
    body: Uint8Array<ArrayBuffer>,
    forMs: number,
    signal: AbortSignal,
  ): Promise<Response> {
    const { outbox, random } = this.#options;
    const id = random.uuid();
    // before it can be answered
    const { promise, resolve } = Promise.withResolvers<TargetAnswer>();
    this.#waiting.set(id, resolve);
    try {
      const request = { id, url, body: body.toBase64() };
      const report = { kind: "rule_request", request } as const;
      await outbox.append("telemetry", [{ key: `rule/${id}`, report }]);
      const answer = await this.#atMost(promise, forMs, signal);
      if (answer) return this.#tell(id, answer);
    } catch (error) {
      if (!isAppError(error)) throw error;
      return this.#refuse(503, `the request is not kept: ${errorChain(error)}`, 503);
    } finally {
      this.#waiting.delete(id);
    }
    this.#counts.kept++;
    const msg = `no answer within ${forMs / 1_000} s: the request is kept and will be delivered`;
    return reply({ code: 202, msg, body: "", id }, 202);
  }

  #tell(id: string, { status, body }: TargetAnswer): Response {
    if (status === 0) return this.#refuse(500, body);
    this.#counts.answered++;
    const msg = "receive response from cloud successfully";
    return reply({ code: 200, msg, body, status, id }, 200);
  }

  /** Undefined when it takes too long, or who asked has gone. */
  async #atMost<T>(work: Promise<T>, forMs: number, signal: AbortSignal): Promise<T | undefined> {
    const over = new AbortController();
    const ends = AbortSignal.any([signal, over.signal]);
    const late = this.#options.clock.sleep(forMs, ends).then(() => undefined, () => undefined);
    try {
      return await Promise.race([work, late]);
    } finally {
      over.abort();
    }
  }

  /** Who may ask: no web page, under no name but loopback's, and with the token if there is one. */
  async #judge({ headers, url }: Request): Promise<{ code: 401 | 403; msg: string } | undefined> {
    const { isOpen, token } = this.#options;
    const host = headers.get("host") ?? new URL(url).host;
    if (!isOpen && !LOOPBACK_HOST.test(host)) {
      return { code: 403, msg: `host ${host.slice(0, URL_CHARS_SHOWN)} is not served` };
    }
    if (headers.has("origin")) return { code: 403, msg: "requests of web pages are not served" };
    let wanted: string | undefined;
    try {
      wanted = await token();
    } catch (error) {
      return { code: 401, msg: `nobody may ask: ${errorChain(error)}` };
    }
    if (wanted === undefined) return undefined;
    const shown = /^Bearer (\S+)$/i.exec(headers.get("authorization") ?? "")?.[1] ?? "";
    if (timingSafeEqual(digest(shown), digest(wanted))) return undefined;
    return { code: 401, msg: "the bearer token is not the one of serviceBus.tokenFile" };
  }

  /** KubeEdge says 200 in the head whatever the code; so where it has this answer. */
  #refuse(code: number, msg: string, status = 200): Response {
    this.#counts.refused++;
    return reply({ code, msg, body: "" }, status);
  }
}

function reply(value: Reply, status: number): Response {
  return Response.json(value, { status });
}

/** As Go reads JSON: names of fields in any case. */
function targetUrlOf(body: Uint8Array): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const fields = new Map(Object.entries(value).map(([key, each]) => [key.toLowerCase(), each]));
  const [url = "", method = ""] = [fields.get("targeturl"), fields.get("method")];
  return typeof url === "string" && typeof method === "string" ? url : undefined;
}

/** RFC 7240: `Prefer: wait=5`, or `respond-async`. */
function waitMs({ headers }: Request, mostMs: number): number {
  const prefer = headers.get("prefer") ?? "";
  if (/\brespond-async\b/i.test(prefer)) return 0;
  const wait = /\bwait=(\d{1,6})\b/i.exec(prefer)?.[1];
  return wait === undefined ? mostMs : Math.min(mostMs, Number(wait) * 1_000);
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
