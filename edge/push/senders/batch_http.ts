/** Destinations that take many values in one POST: OpenTelemetry, InfluxDB 2, TDengine. */
import type { Clock } from "../../../shared/clock.ts";
import { AppError } from "../../../shared/errors.ts";
import { isJsonObject, type JsonObject } from "../../../shared/json/json.ts";
import { VERSION } from "../../../shared/version.ts";
import { withDeadline } from "../deadline.ts";
import { deliverTogether } from "../deliver.ts";
import { influxLine, numberOf } from "../formats.ts";
import { otlpMetrics, otlpRejected } from "../otlp.ts";
import type { Credentials, Delivery, Destination, Sample, Sender } from "../port.ts";
import { createTables, insertInto } from "../tdengine_sql.ts";
import { authorization, type HttpCall, postTo } from "./http_call.ts";

const TIMEOUT_MS = 15_000;
const PROTOBUF_TYPE = "application/x-protobuf";
const TEXT_TYPE = "text/plain; charset=utf-8";

type Post = (samples: readonly Sample[], signal: AbortSignal) => Promise<void>;

export class BatchHttpSender implements Sender {
  readonly batchMax = 500;
  readonly #post: Post;
  readonly #clock: Clock;

  constructor(post: Post, clock: Clock) {
    this.#post = post;
    this.#clock = clock;
  }

  async send(samples: readonly Sample[], signal: AbortSignal): Promise<Delivery[]> {
    return await deliverTogether(
      samples,
      signal,
      (some, s) => withDeadline(this.#clock, TIMEOUT_MS, (bound) => this.#post(some, bound), s),
    );
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A collector's OTLP/HTTP receiver; `/v1/metrics` where the URL has no path. */
export function otelPost({ address }: Destination, credentials: Credentials): Post {
  const url = new URL(address);
  if (url.pathname === "/") url.pathname = "/v1/metrics";
  const headers = authorization(credentials);
  return async (samples, signal) => {
    for (const sample of samples) numberOf(sample); // throws for the one that is none
    const body = otlpMetrics(samples, VERSION);
    const call = { url: url.href, body, contentType: PROTOBUF_TYPE, headers };
    const rejected = otlpRejected(await postTo(call, signal));
    if (!rejected) return;
    const { count, why } = rejected;
    throw new AppError("invalid", `${url.href} rejected ${count} data points (${why})`);
  };
}

export function influxPost(
  { address, scope = {} }: Destination,
  { token, username, password }: Credentials,
): Post {
  const url = new URL(`${address.replace(/\/+$/, "")}/api/v2/write`);
  url.searchParams.set("org", scope["org"] ?? "");
  url.searchParams.set("bucket", scope["bucket"] ?? "");
  url.searchParams.set("precision", "ms");
  // InfluxDB's own scheme; 1.8, which also serves this path, takes name and password in its place
  const secret = token ?? (username === undefined ? undefined : `${username}:${password ?? ""}`);
  const headers: Record<string, string> = secret === undefined
    ? {}
    : { authorization: `Token ${secret}` };
  return async (samples, signal) => {
    const body = samples.map(influxLine).join("\n");
    await postTo({ url: url.href, body, contentType: TEXT_TYPE, headers }, signal);
  };
}

/** Its REST API, which answers 200 with a code of its own. */
export function tdenginePost(
  { address, scope = {} }: Destination,
  { username = "root", password = "taosdata", token }: Credentials,
): Post {
  const headers = authorization(token === undefined ? { username, password } : { token });
  const url = `http://${address}/rest/sql/${encodeURIComponent(scope["database"] ?? "")}`;
  const made = new Set<string>();
  return async (samples, signal) => {
    const call = (body: string): HttpCall => ({ url, body, contentType: TEXT_TYPE, headers });
    for (const [table, sql] of createTables(samples)) {
      if (made.has(table)) continue;
      await execute(call(sql), signal);
      made.add(table);
    }
    await execute(call(insertInto(samples)), signal);
  };
}

/** TDengine's codes for a statement it will never take: syntax, and values too long. */
const TDENGINE_FOR_GOOD = [0x2600, 0x2601, 0x2602, 0x2605, 0x216, 0x2653];

async function execute(call: HttpCall, signal: AbortSignal): Promise<void> {
  const { code, desc } = tryParse(new TextDecoder().decode(await postTo(call, signal)));
  if (code === 0) return;
  const known = typeof code === "number" ? code & 0xffff : undefined;
  const isForGood = known !== undefined && TDENGINE_FOR_GOOD.includes(known);
  const said = typeof desc === "string" ? desc.slice(0, 200) : "no answer of TDengine's";
  throw new AppError(isForGood ? "invalid" : "unavailable", `TDengine: ${said} (${String(code)})`);
}

function tryParse(text: string): JsonObject {
  try {
    const parsed: unknown = JSON.parse(text);
    return isJsonObject(parsed) ? parsed : {};
  } catch {
    return {}; // judged by its status, or by what is not in it
  }
}
