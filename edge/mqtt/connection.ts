/**
 * One client's connection at the embedded broker, held to its bounds on both sides: what comes is
 * read no faster than it may come, and what goes never makes others wait.
 */
import type { Socket } from "node:net";
import { type Clock, nextTurn } from "../../shared/clock.ts";
import type { Counters } from "./counters.ts";
import { PacketScanner, RateGauge, type RateLimits } from "./guard.ts";

/** What may wait for a client that does not read. */
const UNREAD_BYTES_MAX = 1024 * 1024;
/** Beyond it a session that is caught up with waits until all is read. */
const CATCH_UP_BYTES = 128 * 1024;
/** For the refusal to reach who hears it. */
const REFUSAL_MS = 2_000;

export interface ConnectionOptions {
  limits: RateLimits;
  packetBytesMax: number;
  counters: Counters;
  clock: Clock;
  onClose: () => void;
}

export class Connection {
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #scanner: PacketScanner;
  readonly #gauge: RateGauge;
  readonly #closed = new AbortController();
  #lastTaken: Promise<void> = Promise.resolve();
  #lastKept: Promise<void> = Promise.resolve();
  #keeping = 0;
  #isWaiting = false;
  #willLook = false;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#scanner = new PacketScanner(options.packetBytesMax);
    this.#gauge = new RateGauge(options.limits, options.clock.monotonicMs());
    socket.setNoDelay(true);
    socket.on("close", () => {
      this.#closed.abort();
      options.onClose();
    });
    const read = socket.read.bind(socket);
    // the stream asks its source for more by read(0): what came is the broker's to take, not its
    socket.read = (size?: number) => size === 0 ? read(0) : this.#read(read);
    const push = socket.push.bind(socket);
    socket.push = (chunk: unknown, encoding?: BufferEncoding) => {
      this.#lookAgain();
      return push(chunk, encoding);
    };
    const write: (...args: Parameters<Socket["write"]>) => boolean = socket.write.bind(socket);
    // the library would make all wait for this one to drain
    socket.write = (...args: unknown[]) => {
      write(...args as Parameters<Socket["write"]>);
      return true;
    };
  }

  /** It has not read what was written to it. */
  get isSlow(): boolean {
    return this.#socket.writableLength > UNREAD_BYTES_MAX;
  }

  /** Resolves when `work` is done and all before it: acknowledgements keep their order. */
  inOrder(work: Promise<void>): Promise<void> {
    this.#lastTaken = this.#lastTaken.then(() => work);
    return this.#lastTaken;
  }

  /** The same for what is kept, which takes longer; rejects once one was not. */
  keptInOrder(work: Promise<void>): Promise<void> {
    const before = this.#lastKept;
    this.#keeping++;
    this.#lastKept = work.then(() => before).finally(() => this.#keeping--);
    return this.#lastKept;
  }

  /** Something is not kept yet, and what comes behind it is acknowledged behind it. */
  get isKeeping(): boolean {
    return this.#keeping > 0;
  }

  /** Resolves when the client has read most of what was written to it; false when it is gone. */
  async canTake(): Promise<boolean> {
    const { signal } = this.#closed;
    while (!signal.aborted && this.#socket.writableLength > CATCH_UP_BYTES) {
      await new Promise<void>((resolve) => {
        const done = () => {
          signal.removeEventListener("abort", done);
          this.#socket.off("drain", done);
          resolve();
        };
        signal.addEventListener("abort", done, { once: true });
        this.#socket.once("drain", done);
      });
    }
    return !signal.aborted;
  }

  /** Says something last. */
  refuse(bytes: Uint8Array): void {
    this.#socket.end(bytes);
    void this.#options.clock.sleep(REFUSAL_MS, this.#closed.signal).then(
      () => this.end(),
      () => {}, // it is gone
    );
  }

  /** It made us say as much (retained messages): that counts against its pace. */
  charge(bytes: number): void {
    this.#gauge.take(1, bytes, this.#options.clock.monotonicMs());
  }

  end(): void {
    this.#socket.destroy();
  }

  #read(read: () => unknown): unknown {
    const { clock, counters } = this.#options;
    if (this.#isWaiting) return null;
    const waitMs = this.#gauge.waitMs(clock.monotonicMs());
    if (waitMs > 0) {
      counters.pauses++;
      this.#isWaiting = true;
      void this.#resumeIn(waitMs);
      return null;
    }
    const bytes = read();
    if (!(bytes instanceof Uint8Array)) return bytes;
    const packets = this.#scanner.scan(bytes);
    if (packets === undefined) {
      counters.drop("packet_too_big");
      this.end();
      return null;
    }
    this.#gauge.take(packets, bytes.length, clock.monotonicMs());
    return bytes;
  }

  /** The stream does not always say "readable" for what came while it was read from. */
  #lookAgain(): void {
    if (this.#willLook) return;
    this.#willLook = true;
    void nextTurn().then(() => {
      this.#willLook = false;
      if (!this.#isWaiting && this.#socket.readableLength > 0) this.#socket.emit("readable");
    });
  }

  async #resumeIn(waitMs: number): Promise<void> {
    try {
      await this.#options.clock.sleep(waitMs, this.#closed.signal);
    } catch {
      return; // it is gone
    }
    this.#isWaiting = false;
    this.#socket.emit("readable");
  }
}
