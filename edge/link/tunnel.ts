/**
 * The node's end of the tunnel: each stream the cloud opens is one HTTP request for the node's own
 * handler, answered as a stream. A reset aborts the request's signal; a handler that throws resets
 * its stream with the message and touches no other.
 */
import { AppError, errorChain, isAbort } from "../../shared/errors.ts";
import { type Frame, type OpenRequest, ResetCode } from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { roomLogger } from "../../shared/log.ts";
import { Outgoing } from "../../shared/wire/outgoing.ts";
import {
  frame,
  fromFrameHeaders,
  headersFit,
  PATH_CHARS_MAX,
  resetFrame,
  STREAMS_MAX,
  toFrameHeaders,
} from "../../shared/wire/tunnel_frames.ts";
import { TunnelStream } from "../../shared/wire/tunnel_stream.ts";

/** Answers one HTTP request from the cloud; the URL's host means nothing. */
export type TunnelHandler = (request: Request) => Promise<Response>;

/** The host of tunnelled requests, which have none of their own. */
const ORIGIN = "http://node.skerry.internal";
const URGENT_MAX = 8 * STREAMS_MAX;

const log = roomLogger("edge", "link");

export class Tunnel {
  readonly #handler: TunnelHandler;
  readonly #outgoing = new Outgoing<Frame>({ urgentMax: URGENT_MAX });
  readonly #streams = new Map<number, TunnelStream>();
  readonly #answers = new Set<Promise<void>>();

  constructor(handler: TunnelHandler) {
    this.#handler = handler;
  }

  /** Frames for the cloud. */
  get frames(): AsyncIterable<Frame> {
    return this.#outgoing;
  }

  /** Queues the first frame, which says whose tunnel this is. */
  hello(instanceId: string, sessionNumber: bigint): void {
    this.#outgoing.send(frame(0, { case: "hello", value: { instanceId, sessionNumber } }));
  }

  /** Handles the cloud's frames until they end or fail; then every stream is over. */
  async run(frames: AsyncIterable<Frame>): Promise<void> {
    try {
      for await (const item of frames) this.#receive(item);
    } finally {
      const error = new AppError("unavailable", "The tunnel ended");
      for (const stream of [...this.#streams.values()]) stream.abandon(error);
      this.#outgoing.end();
      await Promise.allSettled([...this.#answers]);
    }
  }

  #receive({ stream: id, kind }: Frame): void {
    const stream = this.#streams.get(id);
    if (stream) return stream.receive(kind);
    // frames of a stream that is over here may still be on their way
    if (kind.case !== "open") return;
    if (this.#streams.size >= STREAMS_MAX) {
      const message = `At most ${STREAMS_MAX} streams at once`;
      return this.#outgoing.send(resetFrame(id, ResetCode.REFUSED, message));
    }
    const answer = this.#answer(id, kind.value);
    this.#answers.add(answer);
    void answer.then(() => this.#answers.delete(answer)); // #answer never rejects
  }

  async #answer(id: number, open: OpenRequest): Promise<void> {
    const stream = new TunnelStream({
      id,
      outgoing: this.#outgoing,
      onClosed: () => this.#streams.delete(id),
    });
    this.#streams.set(id, stream);
    if (!open.hasBody) stream.completeRemote();
    try {
      const response = await this.#handler(toRequest(open, stream));
      if (stream.signal.aborted) {
        await response.body?.cancel(stream.signal.reason);
        return;
      }
      const hasBody = response.body !== null;
      const headers = toFrameHeaders(response.headers);
      const head = { status: response.status, headers, hasBody };
      this.#outgoing.send(frame(id, { case: "head", value: head }));
      if (response.body) await stream.pump(response.body);
      else stream.complete(true);
    } catch (error) {
      if (isAbort(error, stream.signal)) return;
      log.warn("Request from the cloud failed", { path: open.path, error: errorChain(error) });
      stream.reset(ResetCode.INTERNAL, error);
    }
  }
}

function toRequest(open: OpenRequest, stream: TunnelStream): Request {
  if (!open.path.startsWith("/") || open.path.length > PATH_CHARS_MAX) {
    throw new AppError("invalid", "Cannot open stream: path must begin with / and be <= 16 KiB");
  }
  if (!headersFit(open.headers)) {
    throw new AppError("invalid", "Cannot open stream: too many or too large headers");
  }
  return new Request(ORIGIN + open.path, {
    method: open.method,
    headers: fromFrameHeaders(open.headers),
    signal: stream.signal,
    ...(open.hasBody ? { body: stream.readable as BodyInit } : {}), // a stream is a BodyInit
  });
}
