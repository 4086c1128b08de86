/** A byte stream as lines of text, each within a bound; stops, and cancels the stream, on abort. */
import { AppError } from "../../shared/errors.ts";
import { OBJECT_BYTES_MAX } from "../../shared/limits.ts";

/** An object of the largest size, with room for its envelope and for escapes in its text. */
const LINE_CHARS_MAX = 4 * OBJECT_BYTES_MAX;

export async function* readLines(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  // cancel() settles a read that is waiting; its own failure means the stream is gone already
  const onAbort = () => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener("abort", onAbort, { once: true });
  let parts: string[] = [];
  let length = 0;
  try {
    while (true) {
      signal.throwIfAborted();
      const { done, value } = await reader.read();
      signal.throwIfAborted();
      if (done) return; // an unfinished last line was cut off with the connection: not an event
      const pieces = decoder.decode(value, { stream: true }).split("\n");
      for (let i = 0; i < pieces.length - 1; i++) {
        parts.push(pieces[i]!);
        const line = parts.join("");
        parts = [];
        length = 0;
        if (line !== "") yield line;
      }
      const rest = pieces.at(-1)!;
      length += rest.length;
      if (length > LINE_CHARS_MAX) {
        throw new AppError("unavailable", `Cannot read line: must be <= ${LINE_CHARS_MAX} chars`);
      }
      if (rest !== "") parts.push(rest);
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    await reader.cancel().catch(() => {}); // the stream may have failed: it is closed either way
  }
}
