/**
 * Who may do what on the local API. Reading is free on loopback. Acts need the token of
 * `<data-dir>/api-token`, and so does everything that comes under another host name over TLS. A
 * token that is shown and wrong is refused, whatever it was shown for.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { AppError } from "../../shared/errors.ts";
import { statusResponse } from "./status_error.ts";

/** How a request came in; nothing of it is taken from the request. */
export interface Arrival {
  tls: boolean;
}

const LOOPBACK_HOST = /^(localhost|127(?:\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/** Without a token nobody may act. */
export function accessGuard(token: string | undefined): MiddlewareHandler {
  const expected = token === undefined ? undefined : digest(token);
  return async (c, next) => {
    const refusal = judge(c, expected);
    if (refusal) return statusResponse(refusal);
    await next();
  };
}

function judge(c: Context, expected: Uint8Array | undefined): AppError | undefined {
  const authorization = c.req.header("authorization");
  const shown = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1];
  const known = shown !== undefined && expected !== undefined &&
    timingSafeEqual(digest(shown), expected);
  if (authorization !== undefined && !known) {
    return new AppError("unauthenticated", "the token is not this node's");
  }
  const host = c.req.header("host") ?? new URL(c.req.url).host;
  // A web page must not reach the API by a name of its own that resolves to loopback.
  const { tls = false } = Object(c.env) as Partial<Arrival>;
  if (!LOOPBACK_HOST.test(host) && !(tls && known)) {
    return new AppError("forbidden", `Cannot serve host ${host}: only loopback names are served`);
  }
  const isReading = c.req.method === "GET" || c.req.method === "HEAD";
  if (isReading || known) return undefined;
  return new AppError(
    "unauthenticated",
    "acts need the token of this node: see skerry-edge kubeconfig",
  );
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
