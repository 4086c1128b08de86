/**
 * `fetch` for programs: a browser's refuses some ports (6666, 5060, 10080 ...) so that no page can
 * talk to what listens there. Who configures an address here means it, KubeEdge's own example of a
 * service has port 6666; so requests to those ports go by node:http. No redirect is followed.
 */
import type { ClientRequest, IncomingMessage, RequestOptions } from "node:http";

/** "Port blocking" in WHATWG's fetch. */
export const FETCH_REFUSES: ReadonlySet<number> = new Set([
  ...[1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95],
  ...[101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179],
  ...[389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601],
  ...[636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566],
  ...[6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080],
]);
/** Statuses whose answers have no body. */
const BODILESS = [204, 205, 304];

export interface PlainRequest {
  method?: string;
  headers?: HeadersInit;
  body?: Uint8Array<ArrayBuffer> | string | ReadableStream<Uint8Array> | null;
  signal?: AbortSignal;
  /** For TLS: PEMs of authorities beside the well-known ones, and a client that has them. */
  authorities?: { caCerts: string[]; client: Deno.HttpClient };
}

/** Rejects as `fetch` does, with the reason beneath. */
export async function fetchAnyPort(
  url: string,
  { authorities, ...request }: PlainRequest,
): Promise<Response> {
  if (!FETCH_REFUSES.has(Number(new URL(url).port))) {
    const client = authorities ? { client: authorities.client } : {};
    return await fetch(url, { ...request, ...client, redirect: "manual" });
  }
  return await byNode(new URL(url), { ...request, ...(authorities ? { authorities } : {}) });
}

async function byNode(url: URL, request: PlainRequest): Promise<Response> {
  const { method = "GET", body, signal, authorities } = request;
  signal?.throwIfAborted();
  const headers = new Headers(request.headers);
  headers.set("accept-encoding", "identity"); // nobody decodes what comes
  headers.set("connection", "close");
  if (typeof body === "string" || body instanceof Uint8Array) {
    headers.set("content-length", String(bytesOf(body).byteLength));
  }
  const options: RequestOptions & { ca?: string[] } = {
    method,
    headers: Object.fromEntries(headers),
    ...(authorities ? { ca: authorities.caCerts } : {}),
  };
  const { request: open } = url.protocol === "https:"
    ? await import("node:https")
    : await import("node:http");
  const sent = open(url, options);
  const abort = () => sent.destroy(asError(signal?.reason));
  signal?.addEventListener("abort", abort, { once: true });
  try {
    const answer = answerOf(sent);
    await send(sent, body ?? null);
    return await toResponse(await answer, () => signal?.removeEventListener("abort", abort));
  } catch (cause) {
    signal?.removeEventListener("abort", abort);
    signal?.throwIfAborted();
    throw new TypeError(`Cannot fetch ${url.origin}`, { cause });
  }
}

function answerOf(sent: ClientRequest): Promise<IncomingMessage> {
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    sent.once("response", resolve);
    sent.on("error", reject);
  });
  void answer.catch(() => {}); // it is awaited when the body is sent
  return answer;
}

async function send(sent: ClientRequest, body: PlainRequest["body"]): Promise<void> {
  if (body instanceof ReadableStream) {
    for await (const chunk of body) {
      if (sent.destroyed) return;
      if (!sent.write(chunk)) await drained(sent);
    }
  } else if (body !== null && body !== undefined) sent.write(bytesOf(body));
  sent.end();
}

function drained(sent: ClientRequest): Promise<void> {
  const events = ["drain", "close", "error"];
  return new Promise((resolve) => {
    const over = () => {
      for (const event of events) sent.off(event, over);
      resolve();
    };
    for (const event of events) sent.on(event, over);
  });
}

async function toResponse(answer: IncomingMessage, onOver: () => void): Promise<Response> {
  const { statusCode = 500, headersDistinct } = answer;
  const headers = Object.entries(headersDistinct).flatMap(([name, values = []]) =>
    values.map((value): [string, string] => [name, value])
  );
  answer.once("close", onOver);
  if (BODILESS.includes(statusCode)) {
    answer.resume();
    return new Response(null, { status: statusCode, headers });
  }
  const { Readable } = await import("node:stream");
  // the two declarations of a stream differ in name only
  const body = Readable.toWeb(answer) as unknown as ReadableStream<Uint8Array<ArrayBuffer>>;
  return new Response(body, { status: statusCode, headers });
}

function bytesOf(body: string | Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return typeof body === "string" ? new TextEncoder().encode(body) : body;
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error("aborted", { cause: reason });
}
