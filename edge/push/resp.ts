/**
 * As much of Redis' protocol (RESP 2) as pushing takes: commands out, simple answers in. The kept
 * client library costs 20 to 30 MB resident at the edge, for pools, clusters and a hundred
 * commands that nobody here calls.
 */
import { AppError } from "../../shared/errors.ts";

/** Longest line or text of an answer; answers to ZADD are numbers, errors a sentence. */
const ANSWER_BYTES_MAX = 64 * 1024;

export type Reply = string | number | null | RespError;

/** What the server said of one command; the connection goes on. */
export class RespError {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

export function encodeCommand(words: readonly string[]): Uint8Array {
  const encoder = new TextEncoder();
  const parts = words.map((word) => `$${encoder.encode(word).length}\r\n${word}\r\n`);
  return encoder.encode(`*${words.length}\r\n${parts.join("")}`);
}

/** Answers out of bytes, as they come. */
export class ReplyReader {
  #bytes = new Uint8Array(0);

  add(chunk: Uint8Array): void {
    const joined = new Uint8Array(this.#bytes.length + chunk.length);
    joined.set(this.#bytes);
    joined.set(chunk, this.#bytes.length);
    this.#bytes = joined;
  }

  /**
   * The next answer; undefined while it is not whole. Errors: `unavailable` when these are no
   * answers of Redis.
   */
  next(): Reply | undefined {
    const end = this.#lineEnd(0);
    if (end === undefined) return undefined;
    const line = text(this.#bytes.subarray(1, end));
    const rest = end + 2;
    switch (String.fromCharCode(this.#bytes[0] ?? 0)) {
      case "+":
        return this.#take(rest, line);
      case "-":
        return this.#take(rest, new RespError(line));
      case ":":
        return this.#take(rest, Number(line));
      case "$":
        return this.#bulk(Number(line), rest);
      default:
        throw new AppError("unavailable", "not an answer of Redis");
    }
  }

  #bulk(length: number, from: number): Reply | undefined {
    if (length === -1) return this.#take(from, null);
    if (!Number.isInteger(length) || length < 0 || length > ANSWER_BYTES_MAX) {
      throw new AppError("unavailable", `an answer of Redis of ${length} bytes`);
    }
    if (this.#bytes.length < from + length + 2) return undefined;
    return this.#take(from + length + 2, text(this.#bytes.subarray(from, from + length)));
  }

  #take<T>(end: number, reply: T): T {
    this.#bytes = this.#bytes.slice(end);
    return reply;
  }

  #lineEnd(from: number): number | undefined {
    const at = this.#bytes.indexOf(13, from);
    if (at >= 0 && at + 1 < this.#bytes.length) return at;
    if (this.#bytes.length <= ANSWER_BYTES_MAX) return undefined;
    throw new AppError("unavailable", "an answer of Redis without end");
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
