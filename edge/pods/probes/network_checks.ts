/**
 * The network side of probes and hooks: one HTTP GET, one TCP connect, one gRPC health call, each
 * on a connection of its own that is closed after it. A failure is an answer, in the words kubelet
 * would use; only the signal's reason is thrown.
 */
import http from "node:http";
import https from "node:https";
import net from "node:net";
import { checkGrpc } from "./grpc_health.ts";
import { joinHostPort } from "./target.ts";

export interface CheckAnswer {
  ok: boolean;
  /** Why it failed; of a success, a warning that is worth an event. */
  message: string;
  /** The HTTP status, when there was an answer. */
  code?: number;
  /** TLS was tried with a server that speaks plain HTTP. */
  isPlain?: boolean;
}

export interface HttpCheck {
  url: URL;
  /** The URL as messages show it. */
  shown: string;
  headers: Record<string, string>;
}

/** Replaced in tests, where no network is. */
export interface NetworkChecks {
  http(check: HttpCheck, signal: AbortSignal): Promise<CheckAnswer>;
  tcp(host: string, port: number, signal: AbortSignal): Promise<CheckAnswer>;
  grpc(
    target: { host: string; port: number; service: string },
    signal: AbortSignal,
  ): Promise<CheckAnswer>;
}

const REDIRECTS_MAX = 10;
/** kubelet reads this much of an answer. */
const BODY_BYTES_MAX = 10 * 1024;
const REDIRECT_CODES = [301, 302, 303, 307, 308];

export const systemNetworkChecks: NetworkChecks = {
  http: checkHttp,
  tcp: checkTcp,
  grpc: checkGrpc,
};

async function checkHttp(check: HttpCheck, signal: AbortSignal): Promise<CheckAnswer> {
  let { url, headers } = check;
  for (let hops = 0;; hops++) {
    let answer: HttpAnswer;
    try {
      answer = await get(url, headers, signal);
    } catch (error) {
      signal.throwIfAborted();
      const isPlain = url.protocol === "https:" && isPlainHttp(error);
      const words = isPlain
        ? "http: server gave HTTP response to HTTPS client"
        : goWords(error, url);
      return { ok: false, message: `Get "${check.shown}": ${words}`, ...(isPlain && { isPlain }) };
    }
    const next = REDIRECT_CODES.includes(answer.code) ? URL.parse(answer.location, url) : null;
    if (!next || !answer.location || next.hostname !== check.url.hostname) return judge(answer);
    if (!/^https?:$/.test(next.protocol)) return judge(answer);
    if (hops + 1 >= REDIRECTS_MAX) {
      const message = `Get "${next}": stopped after ${REDIRECTS_MAX} redirects`;
      return { ok: false, message };
    }
    url = next;
    headers = { ...headers };
  }
}

function judge({ code, body }: HttpAnswer): CheckAnswer {
  if (code < 200 || code >= 400) {
    return { ok: false, code, message: `HTTP probe failed with statuscode: ${code}` };
  }
  const isRedirect = code >= 300;
  return {
    ok: true,
    code,
    message: isRedirect ? `Probe terminated redirects, Response body: ${body}` : "",
  };
}

interface HttpAnswer {
  code: number;
  location: string;
  body: string;
}

function get(
  url: URL,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const options = {
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port || (url.protocol === "https:" ? 443 : 80),
      path: `${url.pathname}${url.search}`,
      // A header of the probe may name another host.
      headers: { host: url.host, connection: "close", ...headers },
      agent: false as const,
      signal,
    };
    const onResponse = (response: http.IncomingMessage) => {
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      const done = () => {
        response.destroy();
        resolve({
          code: response.statusCode ?? 0,
          location: response.headers.location ?? "",
          body: new TextDecoder().decode(joined(chunks, Math.min(bytes, BODY_BYTES_MAX))),
        });
      };
      response.on("data", (chunk: Uint8Array) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes >= BODY_BYTES_MAX) done();
      });
      response.on("end", done);
      response.on("error", reject);
    };
    const request = url.protocol === "https:"
      // Whoever serves a probe need not own a certificate.
      ? https.request({ ...options, rejectUnauthorized: false }, onResponse)
      : http.request(options, onResponse);
    request.on("error", reject);
    request.end();
  });
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    const part = chunk.subarray(0, length - at);
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function checkTcp(host: string, port: number, signal: AbortSignal): Promise<CheckAnswer> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port });
    const onAbort = () => {
      socket.destroy();
      reject(signal.reason);
    };
    const done = (answer: CheckAnswer) => {
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      resolve(answer);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("connect", () => done({ ok: true, message: "" }));
    socket.on("error", (error) => {
      done({ ok: false, message: dialWords(error, host, port) });
    });
  });
}

const ERRNO_WORDS: Record<string, string> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by peer",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ETIMEDOUT: "connection timed out",
};

/** A connection that could not be made, as Go says it. */
function dialWords(error: unknown, host: string, port: number): string {
  const place = `dial tcp ${joinHostPort(host, port)}`;
  const code = codeOf(error);
  const words = ERRNO_WORDS[code];
  if (words) return `${place}: connect: ${words}`;
  if (code === "ENOTFOUND") return `dial tcp: lookup ${host}: no such host`;
  return `${place}: ${error instanceof Error ? error.message : String(error)}`;
}

function goWords(error: unknown, url: URL): string {
  const code = codeOf(error);
  // Hung up before an answer, as against a connection that was never made.
  if (code === "ECONNRESET" && error instanceof Error && /hang up/.test(error.message)) {
    return "EOF";
  }
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  if (ERRNO_WORDS[code] || code === "ENOTFOUND") return dialWords(error, host, port);
  return error instanceof Error ? error.message : String(error);
}

function isPlainHttp(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return /InvalidContentType|wrong version number|corrupt message/i.test(error.message);
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}
