/**
 * The REST end of rules: `POST /{node}/{namespace}/{path}[/suffix]`, as KubeEdge's router has it,
 * here with a bearer token of the Kubernetes API: an administrator's, or one of a service account
 * of the rule's namespace. A message for an event bus is answered when it is on disk; a request for
 * a service at the node is answered by that service.
 */
import { AppError, errorChain, type ErrorCode, isAppError } from "../../shared/errors.ts";
import type { Random } from "../../shared/random.ts";
import { RULE_PAYLOAD_BYTES_MAX, RULE_SERVICE_PATH } from "../../shared/wire/rule_message.ts";
import type { Mailbox } from "./mailbox.ts";
import type { Nodes, WhoIs } from "./port.ts";
import type { RuleCounts } from "./rule_counts.ts";
import type { RestRule, RuleTable } from "./rule_table.ts";

/** As in KubeEdge's router. */
const BODY_BYTES_MAX = 12 * 1024 * 1024;
/** Read of a body that is too large. */
const DROPPED_BYTES_MAX = 64 * 1024 * 1024;
const TIMEOUT_MS = 60_000;
/** Requests under way; each may hold a body. */
const REQUESTS_MAX = 64;
/** Methods a message may come with; KubeEdge looks at none. */
const CARRYING = ["POST", "PUT", "PATCH"];
const ADMIN_GROUP = "system:masters";
/** Of the connection to us, and who sent it: not for the service. */
const NOT_PASSED = ["authorization", "connection", "content-length", "cookie", "host"];

const STATUS: Partial<Record<ErrorCode, number>> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  exhausted: 429,
  unavailable: 503,
};

export interface RestOptions {
  table: () => RuleTable;
  mailbox: Mailbox;
  counts: RuleCounts;
  nodes: Nodes;
  /** True for nodes there are, here or away. */
  isNode: (name: string) => Promise<boolean>;
  whoIs: WhoIs;
  random: Random;
}

interface Asked {
  node: string;
  namespace: string;
  rule: RestRule;
  /** What stands behind the rule's path, with its slash; "" for nothing. */
  suffix: string;
  search: string;
}

export class RestEnd {
  readonly #options: RestOptions;
  #underWay = 0;

  constructor(options: RestOptions) {
    this.#options = options;
  }

  async fetch(request: Request): Promise<Response> {
    if (this.#underWay >= REQUESTS_MAX) return answer(429, "Too many requests at once");
    this.#underWay++;
    try {
      return await this.#handle(request);
    } catch (error) {
      const status = isAppError(error) ? STATUS[error.code] ?? 500 : 500;
      return answer(status, errorChain(error));
    } finally {
      this.#underWay--;
    }
  }

  async #handle(request: Request): Promise<Response> {
    const asked = this.#find(new URL(request.url), await this.#identify(request));
    if (!await this.#options.isNode(asked.node)) {
      throw new AppError("not_found", `there is no node "${asked.node}"`);
    }
    const { target } = asked.rule;
    if (target.kind === "servicebus") return await this.#toService(request, asked, target);
    if (!CARRYING.includes(request.method)) return answer(405, "Messages are sent with POST");
    const payload = await readBody(request, RULE_PAYLOAD_BYTES_MAX);
    if (!payload) {
      return answer(413, `a message must be at most ${RULE_PAYLOAD_BYTES_MAX} bytes`);
    }
    const { node, namespace, rule, suffix } = asked;
    const id = this.#options.random.uuid();
    const topic = `${target.topic}${suffix}`;
    await this.#options.mailbox.put([{ id, namespace, rule: rule.name, node, topic, payload }]);
    return new Response("message delivered"); // to the letter what KubeEdge's router says
  }

  async #identify(request: Request): Promise<(namespace: string) => boolean> {
    const authorization = request.headers.get("authorization") ?? "";
    const user = /^bearer /i.test(authorization)
      ? await this.#options.whoIs(authorization)
      : undefined;
    if (!user) throw new AppError("unauthenticated", "a bearer token is needed");
    return (namespace) =>
      user.groups.includes(ADMIN_GROUP) ||
      user.groups.includes(`system:serviceaccounts:${namespace}`);
  }

  #find({ pathname, search }: URL, may: (namespace: string) => boolean): Asked {
    const [, node = "", namespace = "", ...rest] = pathname.split("/").map(decoded);
    if (node === "" || namespace === "" || rest.length === 0) {
      throw new AppError("invalid", "the path must be /{node}/{namespace}/{path}");
    }
    if (!may(namespace)) {
      throw new AppError("forbidden", `this user may not send to rules in "${namespace}"`);
    }
    const path = rest.join("/").replace(/^\/+|\/+$/g, "");
    const found = this.#options.table().forRest(namespace, path);
    if (!found) {
      throw new AppError("not_found", `no rule in "${namespace}" has the path "${path}"`);
    }
    if (/[+#\0]/.test(found.suffix) || found.suffix.split("/").includes("..")) {
      throw new AppError("invalid", `"${found.suffix}" cannot be part of a topic or path`);
    }
    return { node, namespace, search, ...found };
  }

  async #toService(
    request: Request,
    { node, namespace, rule, suffix, search }: Asked,
    { port, path }: { port: number; path: string },
  ): Promise<Response> {
    const { nodes, counts } = this.#options;
    const body = request.body ? await readBody(request, BODY_BYTES_MAX) : undefined;
    if (request.body && !body) {
      return answer(413, `a body must be at most ${BODY_BYTES_MAX} bytes`);
    }
    const headers = new Headers(request.headers);
    for (const name of NOT_PASSED) headers.delete(name);
    const way = `${RULE_SERVICE_PATH}/${port}${encodeURI(`/${path}${suffix}`)}${search}`;
    const late = AbortSignal.timeout(TIMEOUT_MS);
    try {
      const response = await nodes.fetch(
        node,
        new Request(`http://node${way}`, {
          method: request.method,
          headers,
          ...(body ? { body } : {}),
          signal: late,
        }),
      );
      counts.succeeded(namespace, rule.name);
      return response;
    } catch (error) {
      counts.failed(namespace, rule.name, errorChain(error));
      if (late.aborted) return answer(408, `no answer within ${TIMEOUT_MS / 1_000} s`);
      throw error;
    }
  }
}

function answer(status: number, text: string): Response {
  return new Response(`${text}\n`, { status });
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new AppError("invalid", `"${part}" is not URL-encoded`);
  }
}

/**
 * Undefined when it is too large. It is read on all the same, up to a bound, and dropped: over
 * HTTP/2 its sender would else hear of a broken stream, and not why.
 */
async function readBody(
  { body }: Request,
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > DROPPED_BYTES_MAX) break;
    if (bytes <= bytesMax) chunks.push(chunk);
  }
  if (bytes > bytesMax) return undefined;
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}
