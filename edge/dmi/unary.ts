/**
 * gRPC's unary calls over a stream of HTTP/2, and nothing else of gRPC: DMI has three methods that
 * take one message and give one. Made for the way mappers of KubeEdge report, one value in a call:
 * a general server costs four times as much for each (shared/adr/0014). Messages are taken as they
 * are, without compression. A caller's deadline is the caller's to keep, for what was begun is
 * brought to disk in any case; a method may look at it to say less, and in time.
 */
import type http2 from "node:http2";
import { AppError, errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import { toConnectError } from "../../shared/wire/rpc_errors.ts";

/** A flag (compressed or not) and four bytes of length stand before a message. */
const PREFIX_BYTES = 5;
/** Of an error's words: gRPC's C core takes 8 KiB of headers. */
const WORDS_CHARS_MAX = 1_000;
const HEADERS = { ":status": 200, "content-type": "application/grpc" };
const TRAILERS = { "grpc-status": "0" };

const log = roomLogger("edge", "dmi");

/**
 * Throws AppErrors; anything else is answered with "internal" and logged. `timeoutMs` is how long
 * the caller waits: Infinity where it did not say.
 */
export type UnaryMethod = (request: Uint8Array, timeoutMs: number) => Promise<Uint8Array>;

export interface UnaryMethods {
  /** By path: `/package.Service/Method`. */
  byPath: ReadonlyMap<string, UnaryMethod>;
  requestBytesMax: number;
}

/** Answers the call; never rejects. */
export async function answerCall(
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  { byPath, requestBytesMax }: UnaryMethods,
): Promise<void> {
  const path = String(headers[":path"] ?? "");
  try {
    checkCall(headers);
    const method = byPath.get(path);
    if (!method) throw new AppError("unimplemented", `There is no method ${path.slice(0, 200)}`);
    const body = await readBody(stream, requestBytesMax);
    if (!body) return; // the caller has gone
    const timeoutMs = readTimeout(headers["grpc-timeout"]);
    sendMessage(stream, await method(unframe(body), timeoutMs));
  } catch (error) {
    if (!(error instanceof AppError)) log.error("Call failed", { path, error: errorChain(error) });
    refuseCall(stream, error);
  }
}

/** The status in the only headers, without a look at what is still to come of the request. */
export function refuseCall(stream: http2.ServerHttp2Stream, error: unknown): void {
  if (stream.destroyed || stream.closed || stream.headersSent) return;
  const { code, rawMessage } = toConnectError(error);
  try {
    stream.respond({
      ...HEADERS,
      "grpc-status": String(code),
      "grpc-message": encodeURIComponent(rawMessage.slice(0, WORDS_CHARS_MAX).toWellFormed()),
    }, { endStream: true });
    stream.resume(); // what still comes is let go, so that the stream can end
  } catch (cause) {
    log.debug("Cannot answer a call", { error: errorChain(cause) });
    stream.destroy();
  }
}

const UNITS_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** "999932u" and the like; what is none is as if it were not there. */
export function readTimeout(text: unknown): number {
  const [, digits = "", unit = ""] = /^(\d{1,8})([HMSmun])$/.exec(String(text)) ?? [];
  return digits === "" ? Infinity : Number(digits) * (UNITS_MS[unit] ?? Infinity);
}

function checkCall(headers: http2.IncomingHttpHeaders): void {
  const type = headers["content-type"] ?? "";
  if (headers[":method"] !== "POST" || !/^application\/grpc(\+proto)?(;|$)/.test(type)) {
    throw new AppError("unimplemented", "Only gRPC with protobuf is spoken here");
  }
  const encoding = headers["grpc-encoding"] ?? "identity";
  if (encoding !== "identity") {
    throw new AppError("unimplemented", `Cannot read a message of encoding ${encoding}`);
  }
}

/** The whole body; undefined where the caller went away. Throws "exhausted" above the bound. */
function readBody(
  stream: http2.ServerHttp2Stream,
  messageBytesMax: number,
): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    stream.on("data", (chunk: Uint8Array) => {
      bytes += chunk.length;
      if (bytes <= messageBytesMax + PREFIX_BYTES) return void chunks.push(chunk);
      chunks.length = 0;
      reject(new AppError("exhausted", `A message must be <= ${messageBytesMax} bytes`));
    });
    stream.once("end", () => resolve(joined(chunks, bytes)));
    stream.once("close", () => resolve(undefined)); // says nothing after "end"
  });
}

function joined(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  const [first] = chunks;
  if (first && chunks.length === 1) return first;
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/** The one message of a unary call's body. */
export function unframe(body: Uint8Array): Uint8Array {
  if (body.length < PREFIX_BYTES) {
    throw new AppError("invalid", `A call must hold a message, got ${body.length} bytes`);
  }
  if (body[0] !== 0) {
    throw new AppError("unimplemented", "Cannot read a compressed message");
  }
  const length = new DataView(body.buffer, body.byteOffset).getUint32(1);
  const held = body.length - PREFIX_BYTES;
  if (length !== held) {
    throw new AppError("invalid", `A call must hold one message of ${length} bytes, got ${held}`);
  }
  return body.subarray(PREFIX_BYTES);
}

export function frame(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(PREFIX_BYTES + message.length);
  new DataView(bytes.buffer).setUint32(1, message.length);
  bytes.set(message, PREFIX_BYTES);
  return bytes;
}

function sendMessage(stream: http2.ServerHttp2Stream, message: Uint8Array): void {
  if (stream.destroyed || stream.closed) return;
  stream.once("wantTrailers", () => {
    if (!stream.destroyed && !stream.closed) stream.sendTrailers(TRAILERS);
  });
  stream.respond(HEADERS, { waitForTrailers: true });
  stream.end(frame(message));
}
