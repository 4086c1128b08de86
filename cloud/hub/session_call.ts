/**
 * The session's call as it comes in over HTTP/2: the Connect protocol for one method, without the
 * library's chain of streams, which cost a connected node more memory than everything else here.
 * Same bytes on the wire; enrolment, renewal and tunnels, which are short or rare, stay with it.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { gunzipSync, gzipSync } from "node:zlib";
import { AppError, errorChain } from "../../shared/errors.ts";
import {
  type SessionRequest,
  SessionRequestSchema,
  type SessionResponse,
  SessionResponseSchema,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { HUB_COMPRESSION_BYTES_MIN, HUB_MESSAGE_BYTES_MAX } from "../../shared/limits.ts";
import { roomLogger } from "../../shared/log.ts";
import {
  COMPRESSED,
  encodeEnvelope,
  END_OF_STREAM,
  EnvelopeDecoder,
} from "../../shared/wire/envelopes.ts";
import { toConnectError } from "../../shared/wire/rpc_errors.ts";
import { type Peer, peerOf } from "./peer.ts";

export const SESSION_PATH = "/skerry.hub.v1.HubService/Session";
const CONTENT_TYPE = "application/connect+proto";
const UNSUPPORTED_MEDIA_TYPE = 415;

const log = roomLogger("cloud", "hub");

/** Begins a session and gives what is said to the node; AppError when it may not begin. */
export type OpenSession = (
  requests: AsyncIterable<SessionRequest>,
  peer: Peer,
) => Promise<AsyncIterable<SessionResponse>>;

/** Serves one call to its end. Never throws. */
export async function serveSessionCall(
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  open: OpenSession,
): Promise<void> {
  response.on("error", () => {}); // a stream that broke ends both sides by itself
  if (request.headers["content-type"] !== CONTENT_TYPE) {
    response.writeHead(UNSUPPORTED_MEDIA_TYPE, { "accept-post": CONTENT_TYPE });
    response.end();
    return;
  }
  const accepted = String(request.headers["connect-accept-encoding"] ?? "").split(/ *, */);
  const compress = accepted.includes("gzip");
  response.writeHead(200, {
    "content-type": CONTENT_TYPE,
    ...(compress ? { "connect-content-encoding": "gzip" } : {}),
  });
  let end: Uint8Array = encodeEnd();
  try {
    const messages = await open(requestsOf(request), peerOf(request));
    for await (const message of messages) {
      await write(response, encodeMessage(message, compress));
    }
  } catch (error) {
    end = encodeEnd(error);
  }
  await write(response, end).catch(() => {}); // nobody reads it any more
  response.end();
}

/** The node's messages; AppError "exhausted" or "invalid" when it keeps to no bounds. */
async function* requestsOf(request: Http2ServerRequest): AsyncGenerator<SessionRequest> {
  const decoder = new EnvelopeDecoder(HUB_MESSAGE_BYTES_MAX);
  // leaving off to read must not cut the stream: a word may have to be said first
  const chunks: AsyncIterable<Uint8Array> = request.iterator({ destroyOnReturn: false });
  for await (const chunk of chunks) {
    for (const { flags, body } of decoder.push(chunk)) {
      if (flags & END_OF_STREAM) continue; // a node has nothing to say in one
      yield decodeMessage(flags & COMPRESSED ? inflate(body) : body);
    }
  }
  if (decoder.partial) throw new AppError("unavailable", "Stream ended within a message");
}

function decodeMessage(bytes: Uint8Array): SessionRequest {
  try {
    return fromBinary(SessionRequestSchema, bytes);
  } catch (cause) {
    const message = `Cannot read message: ${errorChain(cause)}`;
    throw new AppError("invalid", message, {}, { cause });
  }
}

function inflate(body: Uint8Array<ArrayBuffer>): Uint8Array {
  try {
    return gunzipSync(body, { maxOutputLength: HUB_MESSAGE_BYTES_MAX });
  } catch (cause) {
    const tooLarge = Object(cause).code === "ERR_BUFFER_TOO_LARGE";
    const message = tooLarge
      ? `must be <= ${HUB_MESSAGE_BYTES_MAX} bytes after decompression`
      : errorChain(cause);
    const code = tooLarge ? "exhausted" : "invalid";
    throw new AppError(code, `Cannot read message: ${message}`, {}, { cause });
  }
}

function encodeMessage(message: SessionResponse, compress: boolean): Uint8Array {
  const bytes = toBinary(SessionResponseSchema, message);
  if (bytes.byteLength > HUB_MESSAGE_BYTES_MAX) {
    const bound = `must be <= ${HUB_MESSAGE_BYTES_MAX} bytes, got ${bytes.byteLength}`;
    throw new AppError("exhausted", `Cannot send message: ${bound}`);
  }
  return compress && bytes.byteLength >= HUB_COMPRESSION_BYTES_MIN
    ? encodeEnvelope(COMPRESSED, gzipSync(bytes))
    : encodeEnvelope(0, bytes);
}

function encodeEnd(error?: unknown): Uint8Array {
  if (error === undefined) return encodeEnvelope(END_OF_STREAM, new TextEncoder().encode("{}"));
  const { code, rawMessage } = toConnectError(error);
  if (code === Code.Internal) log.error("Session call failed", { error: errorChain(error) });
  // ResourceExhausted -> resource_exhausted
  const name = (Code[code] ?? "Unknown").replace(/(?<=[a-z])[A-Z]/g, "_$&").toLowerCase();
  const json = JSON.stringify({ error: { code: name, message: rawMessage } });
  return encodeEnvelope(END_OF_STREAM, new TextEncoder().encode(json));
}

/** Resolves when the stream takes more; rejects when it is over. */
function write(response: Http2ServerResponse, bytes: Uint8Array): Promise<void> {
  const { stream } = response;
  if (!stream || stream.destroyed || stream.closed) {
    return Promise.reject(new AppError("unavailable", "Stream ended"));
  }
  if (response.write(bytes)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const done = () => {
      stream.off("drain", done);
      stream.off("close", done);
      if (stream.destroyed) reject(new AppError("unavailable", "Stream ended"));
      else resolve();
    };
    stream.on("drain", done);
    stream.on("close", done);
  });
}
