/** A body, whole, within a bound. */
import { AppError } from "../../shared/errors.ts";

export async function readBody(
  { body }: { body: ReadableStream<Uint8Array> | null },
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > bytesMax) {
      throw new AppError("invalid", `Cannot read body: must be at most ${bytesMax} bytes`);
    }
    chunks.push(chunk);
  }
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}
