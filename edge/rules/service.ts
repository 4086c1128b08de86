/**
 * A request of the cloud for a service on the node: to its loopback and nowhere else, with the
 * headers that are the sender's, and the answer as it comes: also a redirect, which is the sender's
 * to follow.
 */
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import { fetchAnyPort } from "../../shared/http_any_port.ts";
import { RULE_SERVICE_PATH } from "../../shared/wire/rule_message.ts";

/** Until the service begins to answer. */
const ANSWER_MS = 60_000;
/** Of one connection, and of who asked whom: not for the service, nor back. */
const NOT_PASSED = [
  "authorization",
  "connection",
  "content-length",
  "cookie",
  "host",
  "keep-alive",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

export async function callService(request: Request, url: URL, clock: Clock): Promise<Response> {
  const [, port = "", path = "/"] =
    /^\/(\d{1,5})(\/.*)?$/.exec(url.pathname.slice(RULE_SERVICE_PATH.length)) ?? [];
  if (port === "" || Number(port) < 1 || Number(port) > 65_535) {
    throw new AppError("invalid", "Cannot call service: the path must be /<port>/<path>");
  }
  const late = new AbortController();
  const answered = new AbortController();
  const timer = clock.sleep(ANSWER_MS, AbortSignal.any([request.signal, answered.signal]))
    .then(() => late.abort(new AppError("unavailable", `no answer within ${ANSWER_MS} ms`)));
  void timer.catch(() => {}); // answered, or given up by who asked
  try {
    const response = await fetchAnyPort(`http://127.0.0.1:${port}${path}${url.search}`, {
      method: request.method,
      headers: passed(request.headers),
      ...(request.body ? { body: request.body } : {}),
      signal: AbortSignal.any([request.signal, late.signal]),
    });
    const headers = passed(response.headers);
    headers.delete("content-encoding"); // what is passed on is decoded
    return new Response(response.body, { status: response.status, headers });
  } catch (error) {
    request.signal.throwIfAborted();
    if (late.signal.aborted) return new Response(errorChain(late.signal.reason), { status: 504 });
    return new Response(`service on port ${port}: ${errorChain(error)}`, { status: 502 });
  } finally {
    answered.abort();
  }
}

function passed(headers: Headers): Headers {
  const kept = new Headers(headers);
  for (const name of NOT_PASSED) kept.delete(name);
  return kept;
}
