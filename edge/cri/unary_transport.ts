/**
 * Calls with one message each way, on the connection the streaming transport uses too. The library
 * sends them through the pipeline made for streams, a dozen promises and iterators per call, which
 * was most of the agent's work for a pod. Errors are the library's, so that one mapping does for
 * both; what the other side answered carries "grpc-status" in its metadata, as from the library.
 */
import type http2 from "node:http2";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport, type UnaryResponse } from "@connectrpc/connect";
import { type Clock, SystemClock } from "../../shared/clock.ts";
import type { RuntimeSessions } from "./runtime_sessions.ts";

export interface UnaryOptions {
  sessions: RuntimeSessions;
  /** Answers longer than this are refused before they are read. */
  readMaxBytes: number;
  clock?: Clock;
}

interface Answered {
  status?: string | undefined;
  message?: string | undefined;
}

/** A byte that tells of compression, and the length of the message. */
const PREFIX_BYTES = 5;
const RST_CANCEL = 8;
const NO_HEADERS = new Headers();
/** Made once: the exception that abort() makes for itself costs more than the timer it ends. */
const DONE = new Error("answered");

/** `streaming` with its calls of one message each way made here. */
export function withUnary(streaming: Transport, options: UnaryOptions): Transport {
  const { clock = new SystemClock() } = options;
  return {
    stream: streaming.stream.bind(streaming),
    async unary<I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      _header: HeadersInit | undefined,
      input: MessageInitShape<I>,
    ): Promise<UnaryResponse<I, O>> {
      const request = framed(toBinary(method.input, create(method.input, input)));
      const limits = new Limits(timeoutMs, signal, clock);
      try {
        const opening = options.sessions.request("POST", pathOf(method), {
          te: "trailers",
          ...(timeoutMs === undefined ? {} : { "grpc-timeout": `${Math.ceil(timeoutMs)}m` }),
        }, {});
        const stream = await limits.opened(opening);
        const call = new UnaryCall(stream, options.readMaxBytes);
        limits.onOver((error) => call.fail(error));
        stream.end(request);
        const bytes = await call.answer;
        const message = fromBinary(method.output, bytes, { readUnknownFields: false });
        const both = { header: NO_HEADERS, trailer: NO_HEADERS };
        return { stream: false, service: method.parent, method, message, ...both };
      } finally {
        limits.end();
      }
    },
  };
}

function pathOf(method: DescMethodUnary): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** When nobody waits for a call any more: its time is over, or its caller gave it up. */
class Limits {
  #fail: ((error: ConnectError) => void) | undefined;
  #error: ConnectError | undefined;
  readonly #over = Promise.withResolvers<never>();
  readonly #done = new AbortController();
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = () => this.#end(new ConnectError("given up", Code.Canceled));

  constructor(timeoutMs: number | undefined, signal: AbortSignal | undefined, clock: Clock) {
    void this.#over.promise.catch(() => {}); // mostly nobody waits for it any more
    this.#signal = signal;
    if (signal?.aborted) this.#onAbort();
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (timeoutMs === undefined) return;
    const late = () => this.#end(new ConnectError("too late", Code.DeadlineExceeded));
    void clock.sleep(timeoutMs, this.#done.signal).then(late, () => {}); // ended by the answer
  }

  /** A runtime that takes the connection and then stalls holds nobody up. */
  async opened(opening: Promise<http2.ClientHttp2Stream>): Promise<http2.ClientHttp2Stream> {
    try {
      return await Promise.race([opening, this.#over.promise]);
    } catch (error) {
      void opening.then((late) => late.close(RST_CANCEL), () => {}); // or it failed, as was said
      throw error;
    }
  }

  onOver(fail: (error: ConnectError) => void): void {
    this.#fail = fail;
    if (this.#error) fail(this.#error);
  }

  end(): void {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#done.abort(DONE);
  }

  #end(error: ConnectError): void {
    this.#error = error;
    this.#over.reject(error);
    this.#fail?.(error);
  }
}

/** One request under way: settles once, with the bytes of the answer or with why there is none. */
class UnaryCall {
  readonly answer: Promise<Uint8Array>;
  readonly #stream: http2.ClientHttp2Stream;
  readonly #bytesMax: number;
  readonly #settled = Promise.withResolvers<Uint8Array>();
  readonly #chunks: Uint8Array[] = [];
  #received = 0;
  /** Of the prefix and the message behind it; undefined until the prefix has come. */
  #expected: number | undefined;
  #isOver = false;
  #isOk = false;
  #hasEnded = false;

  constructor(stream: http2.ClientHttp2Stream, bytesMax: number) {
    this.#stream = stream;
    this.#bytesMax = bytesMax;
    this.answer = this.#settled.promise;
    void this.answer.catch(() => {}); // whoever cannot even send the request never waits for it
    stream.on("error", (error) => this.fail(error));
    stream.once("response", (headers) => this.#onHeaders(headers));
    stream.once("trailers", (trailers) => this.#onStatus(statusOf(trailers)));
    stream.on("data", (chunk: Uint8Array) => this.#onData(chunk));
    stream.once("end", () => {
      this.#hasEnded = true;
      this.#finish();
    });
    stream.once("close", () => {
      if (this.#isOver) return;
      this.fail(new ConnectError("call ended before its answer was whole", Code.Unavailable));
    });
  }

  /** The other side is told that nobody waits any more. */
  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#settled.reject(error);
    if (!this.#stream.closed) this.#stream.close(RST_CANCEL);
  }

  #onHeaders(headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader): void {
    const httpStatus = headers[":status"];
    if (httpStatus !== 200) {
      const code = httpStatus === 404 ? Code.Unimplemented : Code.Unavailable;
      return this.fail(new ConnectError(`HTTP ${httpStatus}`, code));
    }
    const status = statusOf(headers); // a refusal has nothing but headers
    if (status.status !== undefined) this.#onStatus(status);
  }

  #onStatus({ status, message }: Answered): void {
    if (status === "0") {
      this.#isOk = true;
      return this.#finish();
    }
    const code = Number(status);
    const known: Code = Code[code] === undefined ? Code.Internal : code;
    const metadata = status === undefined ? undefined : { "grpc-status": status };
    this.fail(new ConnectError(decoded(message ?? ""), known, metadata));
  }

  #onData(chunk: Uint8Array): void {
    if (this.#isOver) return;
    this.#chunks.push(chunk);
    this.#received += chunk.length;
    if (this.#expected === undefined && this.#received >= PREFIX_BYTES) {
      const head = joined(this.#chunks);
      const length = new DataView(head.buffer, head.byteOffset).getUint32(1);
      if (head[0] !== 0) {
        return this.fail(new ConnectError("answer is compressed", Code.Internal));
      }
      this.#expected = PREFIX_BYTES + length;
    }
    if ((this.#expected ?? 0) <= this.#bytesMax && this.#received <= this.#bytesMax) return;
    const message = `answer is longer than ${this.#bytesMax} bytes`;
    this.fail(new ConnectError(message, Code.ResourceExhausted));
  }

  /** Trailers may be told of before the last data is. */
  #finish(): void {
    if (this.#isOver || !this.#isOk || !this.#hasEnded) return;
    if (this.#received !== this.#expected) {
      return this.fail(new ConnectError("answer is not one message", Code.Internal));
    }
    this.#isOver = true;
    this.#settled.resolve(joined(this.#chunks).subarray(PREFIX_BYTES));
  }
}

function framed(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(PREFIX_BYTES + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, PREFIX_BYTES);
  return frame;
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const [only] = chunks;
  if (only && chunks.length === 1) return only;
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function statusOf(headers: http2.IncomingHttpHeaders): Answered {
  const text = (name: string) => {
    const value = headers[name];
    return Array.isArray(value) ? value[0] : value;
  };
  return { status: text("grpc-status"), message: text("grpc-message") };
}

/** As the wire has it: bytes beyond ASCII in percents; what is not so is left as it is. */
function decoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}
