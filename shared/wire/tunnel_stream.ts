/**
 * One stream of the tunnel, the same at both ends: bytes each way under credit. The receiver grants
 * what it will buffer, so a slow reader (a paused `kubectl logs -f`) stops the far end's reading
 * instead of filling memory: at most WINDOW_BYTES wait per stream and direction.
 *
 *     open --(both sides complete)--> closed
 *     open --(reset, either side)---> closed
 */
import { AppError, errorChain } from "../errors.ts";
import { Wakeup } from "../async/wakeup.ts";
import { type Frame, ResetCode } from "../gen/skerry/hub/v1/hub_pb.ts";
import type { Outgoing } from "./outgoing.ts";
import {
  frame,
  FRAME_BYTES_MAX,
  resetErrorCode,
  resetFrame,
  WINDOW_BYTES,
} from "./tunnel_frames.ts";

export interface TunnelStreamOptions {
  id: number;
  outgoing: Outgoing<Frame>;
  /** Called once, when the stream is over; `error` is undefined when both sides completed. */
  onClosed: (error: AppError | undefined) => void;
}

export class TunnelStream {
  readonly id: number;
  /** Bytes from the peer; cancelling it resets the stream. */
  readonly readable: ReadableStream<Uint8Array>;
  readonly #options: TunnelStreamOptions;
  readonly #closed = new AbortController();
  readonly #credit = new Wakeup();
  #reader: ReadableStreamDefaultController<Uint8Array> | undefined;
  #buffer: Uint8Array[] = [];
  #sendCredit = WINDOW_BYTES;
  #receiveCredit = WINDOW_BYTES;
  #consumedBytes = 0;
  /** The reader waits for a chunk that is not here yet. */
  #pulling = false;
  #remoteDone = false;
  #localDone = false;

  constructor(options: TunnelStreamOptions) {
    this.id = options.id;
    this.#options = options;
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#reader = controller;
      },
      pull: () => this.#pull(),
      cancel: (reason) => this.reset(ResetCode.CANCELED, reason ?? "Reader went away"),
    }, { highWaterMark: 0 });
  }

  /** Aborts when the stream is over, with its error, or with "canceled" when it completed. */
  get signal(): AbortSignal {
    return this.#closed.signal;
  }

  /** Takes one frame of this stream from the peer; data beyond the grant resets it. */
  receive(kind: Frame["kind"]): void {
    if (this.#closed.signal.aborted) return;
    switch (kind.case) {
      case "data":
        return this.#receiveData(kind.value);
      case "end":
        if (this.#remoteDone) return this.reset(ResetCode.PROTOCOL, "Second end of stream");
        this.#remoteDone = true;
        if (this.#buffer.length === 0) this.#reader?.close();
        return this.#closeWhenDone();
      case "windowUpdate":
        this.#sendCredit += kind.value;
        return this.#credit.wake();
      case "reset":
        return this.#close(
          new AppError(resetErrorCode(kind.value.code), kind.value.message || "Stream was reset"),
        );
      default:
        return this.reset(ResetCode.PROTOCOL, `Unexpected ${kind.case ?? "empty"} frame`);
    }
  }

  /** Sends all of `body` and completes our side; rejects when the stream ends before. */
  async pump(body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = body.getReader();
    const stop = () => void reader.cancel(this.signal.reason).catch(() => {}); // it is over anyway
    this.signal.addEventListener("abort", stop, { once: true });
    try {
      for (;;) {
        const chunk = await reader.read();
        this.signal.throwIfAborted();
        if (chunk.done) break;
        await this.#write(chunk.value);
      }
      this.complete();
    } finally {
      this.signal.removeEventListener("abort", stop);
      reader.releaseLock();
    }
  }

  /** Our side has nothing (more) to send; `known` when the peer has it from `has_body` already. */
  complete(known = false): void {
    if (this.#localDone || this.#closed.signal.aborted) return;
    this.#localDone = true;
    if (!known) this.#options.outgoing.send(frame(this.id, { case: "end", value: {} }));
    this.#closeWhenDone();
  }

  /** The peer will send nothing (more) and says so elsewhere: in `has_body` of its head. */
  completeRemote(): void {
    this.receive({ case: "end", value: { $typeName: "skerry.hub.v1.EndOfStream" } });
  }

  /** Ends the stream both ways and tells the peer. */
  reset(code: ResetCode, error: unknown): void {
    if (this.#closed.signal.aborted) return;
    this.#options.outgoing.send(resetFrame(this.id, code, error));
    this.#close(new AppError(resetErrorCode(code), errorChain(error)));
  }

  /** Ends the stream without a word to the peer: the tunnel itself is gone. */
  abandon(error: AppError): void {
    if (!this.#closed.signal.aborted) this.#close(error);
  }

  async #write(chunk: Uint8Array): Promise<void> {
    let rest = chunk;
    while (rest.byteLength > 0) {
      while (this.#sendCredit <= 0) await this.#credit.wait(this.signal);
      const take = Math.min(rest.byteLength, this.#sendCredit, FRAME_BYTES_MAX);
      this.#sendCredit -= take;
      await this.#options.outgoing.sendBulk(
        frame(this.id, { case: "data", value: rest.subarray(0, take) }),
      );
      this.signal.throwIfAborted();
      rest = rest.subarray(take);
    }
  }

  #receiveData(data: Uint8Array): void {
    if (data.byteLength > this.#receiveCredit || this.#remoteDone) {
      return this.reset(ResetCode.PROTOCOL, "Data beyond what was granted");
    }
    this.#receiveCredit -= data.byteLength;
    if (data.byteLength === 0) return;
    this.#buffer.push(data);
    if (this.#pulling) this.#pull();
  }

  /** The reader wants one chunk: hand it over, and grant again once half a window was consumed. */
  #pull(): void {
    const data = this.#buffer.shift();
    this.#pulling = data === undefined;
    if (data === undefined) return;
    this.#reader?.enqueue(data);
    this.#consumedBytes += data.byteLength;
    if (this.#remoteDone) {
      if (this.#buffer.length === 0) this.#reader?.close();
    } else if (this.#consumedBytes >= WINDOW_BYTES / 2) {
      const granted = this.#consumedBytes;
      this.#consumedBytes = 0;
      this.#receiveCredit += granted;
      this.#options.outgoing.send(frame(this.id, { case: "windowUpdate", value: granted }));
    }
  }

  #closeWhenDone(): void {
    if (this.#remoteDone && this.#localDone) this.#close(undefined);
  }

  #close(error: AppError | undefined): void {
    if (error && !(this.#remoteDone && this.#buffer.length === 0)) {
      this.#buffer = [];
      this.#reader?.error(error);
    }
    this.#closed.abort(error ?? new AppError("canceled", "Stream complete"));
    this.#options.onClosed(error);
  }
}
