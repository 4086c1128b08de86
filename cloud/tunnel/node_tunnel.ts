/**
 * The cloud's end of one node's tunnel: turns HTTP requests into streams and the node's frames into
 * streamed answers. Reading frames never blocks on a slow reader; each stream has its own credit.
 * A tunnel that ends fails every open stream with "unavailable".
 */
import { AppError, isAbort } from "../../shared/errors.ts";
import { type Frame, type OpenRequest, ResetCode } from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { Outgoing } from "../../shared/wire/outgoing.ts";
import {
  frame,
  fromFrameHeaders,
  headersFit,
  PATH_CHARS_MAX,
  STREAMS_MAX,
  toFrameHeaders,
} from "../../shared/wire/tunnel_frames.ts";
import { TunnelStream } from "../../shared/wire/tunnel_stream.ts";

/** Small frames that may wait: grants, ends and resets of every stream, several times over. */
const URGENT_MAX = 8 * STREAMS_MAX;
const STREAM_ID_MAX = 0xffff_fffd;

interface Waiting {
  stream: TunnelStream;
  head: PromiseWithResolvers<Response>;
}

export class NodeTunnel {
  readonly #outgoing = new Outgoing<Frame>({ urgentMax: URGENT_MAX });
  readonly #streams = new Map<number, Waiting>();
  #nextId = 1;

  /** Frames for the node. */
  get frames(): AsyncIterable<Frame> {
    return this.#outgoing;
  }

  get streams(): number {
    return this.#streams.size;
  }

  /** Handles the node's frames until they end; then the tunnel is closed. Never throws. */
  async run(frames: AsyncIterable<Frame>): Promise<void> {
    let error = new AppError("unavailable", "The node's tunnel ended");
    try {
      for await (const item of frames) this.#receive(item);
    } catch (cause) {
      error = new AppError("unavailable", "The node's tunnel broke", {}, { cause });
    } finally {
      this.close(error);
    }
  }

  /** Sends `request` to the node's handler; resolves with its head, the body streams behind it. */
  async fetch(request: Request): Promise<Response> {
    const open = toOpenRequest(request);
    request.signal.throwIfAborted();
    if (this.#outgoing.ended) throw new AppError("unavailable", "The node's tunnel is closed");
    if (this.#streams.size >= STREAMS_MAX || this.#nextId > STREAM_ID_MAX) {
      throw new AppError(
        "exhausted",
        `Cannot open stream: at most ${STREAMS_MAX} per node at once`,
      );
    }
    const id = this.#nextId;
    this.#nextId += 2;
    const head = Promise.withResolvers<Response>();
    void head.promise.catch(() => {}); // awaited below, but it may fail before that
    const onAbort = () => stream.reset(ResetCode.CANCELED, "Request was aborted");
    const stream = new TunnelStream({
      id,
      outgoing: this.#outgoing,
      onClosed: (error) => {
        this.#streams.delete(id);
        request.signal.removeEventListener("abort", onAbort);
        head.reject(error ?? new AppError("unavailable", "The node ended without an answer"));
      },
    });
    this.#streams.set(id, { stream, head });
    request.signal.addEventListener("abort", onAbort, { once: true });
    this.#outgoing.send(frame(id, { case: "open", value: open }));
    if (request.body) void this.#sendBody(stream, request.body);
    else stream.complete(true);
    return await head.promise;
  }

  /** Fails every open stream with `error` and ends the frames. */
  close(error: AppError): void {
    for (const { stream } of [...this.#streams.values()]) stream.abandon(error);
    this.#outgoing.end();
  }

  /** Never throws: a body that fails resets its stream, which fails the answer. */
  async #sendBody(stream: TunnelStream, body: ReadableStream<Uint8Array>): Promise<void> {
    try {
      await stream.pump(body);
    } catch (error) {
      if (!isAbort(error, stream.signal)) stream.reset(ResetCode.CANCELED, error);
    }
  }

  #receive({ stream: id, kind }: Frame): void {
    const waiting = this.#streams.get(id);
    // frames of a stream we already reset may still be on their way
    if (!waiting) return;
    if (kind.case !== "head") return waiting.stream.receive(kind);
    const { status, headers, hasBody } = kind.value;
    if (status < 200 || status > 599 || !headersFit(headers)) {
      return waiting.stream.reset(ResetCode.PROTOCOL, "Answer's head is out of bounds");
    }
    try {
      const init = { status, headers: fromFrameHeaders(headers) };
      waiting.head.resolve(new Response(hasBody ? waiting.stream.readable : null, init));
      if (!hasBody) waiting.stream.completeRemote();
    } catch (error) {
      waiting.stream.reset(ResetCode.PROTOCOL, error);
    }
  }
}

type OpenInit = Pick<OpenRequest, "method" | "path" | "hasBody"> & {
  headers: { name: string; value: string }[];
};

function toOpenRequest(request: Request): OpenInit {
  const url = new URL(request.url);
  const path = url.pathname + url.search;
  const headers = toFrameHeaders(request.headers);
  if (path.length > PATH_CHARS_MAX || !headersFit(headers)) {
    throw new AppError("invalid", "Cannot send request to node: path or headers are too large");
  }
  return { method: request.method, path, headers, hasBody: request.body !== null };
}
