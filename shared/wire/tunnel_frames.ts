/** Frames of the tunnel and its limits, for both ends. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type AppError, errorChain } from "../errors.ts";
import { type Frame, FrameSchema, type Header, ResetCode } from "../gen/skerry/hub/v1/hub_pb.ts";

/** Bytes each side may send before the first grant; also what one stream may make a peer buffer. */
export const WINDOW_BYTES = 256 * 1024;
/** Largest data frame: small enough that streams take turns. */
export const FRAME_BYTES_MAX = 32 * 1024;
/** Streams at once per tunnel: with the window, 32 MiB that a node can make the other end hold. */
export const STREAMS_MAX = 128;
export const PATH_CHARS_MAX = 16 * 1024;
export const HEADERS_MAX = 128;
/** Names and values together; what common HTTP servers accept. */
export const HEADER_CHARS_MAX = 32 * 1024;
const MESSAGE_CHARS_MAX = 1024;

/** Headers about one hop, which mean nothing at the other end of the tunnel. */
const HOP_HEADERS = new Set([
  "connection",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export type FrameKind = NonNullable<MessageInitShape<typeof FrameSchema>["kind"]>;

export function frame(stream: number, kind: FrameKind): Frame {
  return create(FrameSchema, { stream, kind });
}

export function resetFrame(stream: number, code: ResetCode, error: unknown): Frame {
  const message = errorChain(error).slice(0, MESSAGE_CHARS_MAX);
  return frame(stream, { case: "reset", value: { code, message } });
}

/** What a reset means to whoever waits on the stream. */
export function resetErrorCode(code: ResetCode): AppError["code"] {
  switch (code) {
    case ResetCode.CANCELED:
      return "canceled";
    case ResetCode.REFUSED:
      return "exhausted";
    case ResetCode.PROTOCOL:
      return "invalid";
    default:
      return "unavailable";
  }
}

export function toFrameHeaders(headers: Headers): { name: string; value: string }[] {
  return [...headers]
    .filter(([name]) => !HOP_HEADERS.has(name))
    .map(([name, value]) => ({ name, value }));
}

export function fromFrameHeaders(headers: readonly Header[]): Headers {
  const out = new Headers();
  for (const { name, value } of headers) {
    if (!HOP_HEADERS.has(name.toLowerCase())) out.append(name, value);
  }
  return out;
}

/** True when the headers are within what a peer may make us keep. */
export function headersFit(headers: readonly { name: string; value: string }[]): boolean {
  const chars = headers.reduce((sum, h) => sum + h.name.length + h.value.length, 0);
  return headers.length <= HEADERS_MAX && chars <= HEADER_CHARS_MAX;
}
