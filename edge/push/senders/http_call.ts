/** One HTTP request to a destination, with what its answer means for the samples in it. */
import { AppError } from "../../../shared/errors.ts";
import { fetchAnyPort } from "../../../shared/http_any_port.ts";
import type { Credentials } from "../port.ts";

const ANSWER_BYTES_MAX = 64 * 1024;
/** Statuses that speak of the server or of us, and pass: the sample is not to blame. */
const PASSING = [401, 403, 404, 408, 421, 425, 429];

export interface HttpCall {
  url: string;
  body: string | Uint8Array<ArrayBuffer>;
  contentType: string;
  headers?: Readonly<Record<string, string>>;
}

/**
 * Body of an answer in 2xx. Errors: `invalid` (the server will never take it), `unavailable`.
 */
export async function postTo(
  { url, body, contentType, headers = {} }: HttpCall,
  signal: AbortSignal,
): Promise<Uint8Array> {
  // no redirect: a body with credentials goes where the operator said, and nowhere else
  const response = await fetchAnyPort(url, {
    method: "POST",
    headers: { ...headers, "content-type": contentType },
    body,
    signal,
  });
  const answer = await readAtMost(response, ANSWER_BYTES_MAX);
  if (response.ok) return answer;
  const isForGood = response.status >= 400 && response.status < 500 &&
    !PASSING.includes(response.status);
  const said = new TextDecoder().decode(answer).replace(/[\s\p{Cc}]+/gu, " ").slice(0, 200);
  throw new AppError(
    isForGood ? "invalid" : "unavailable",
    `${url} answered ${response.status}${said === "" ? "" : ` (${said})`}`,
  );
}

/** Bearer where there is a token, else basic where there is a name. */
export function authorization({ token, username, password }: Credentials): Record<string, string> {
  if (token !== undefined) return { authorization: `Bearer ${token}` };
  if (username === undefined) return {};
  const pair = new TextEncoder().encode(`${username}:${password ?? ""}`);
  return { authorization: `Basic ${pair.toBase64()}` };
}

async function readAtMost(response: Response, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    chunks.push(chunk);
    if (bytes >= bytesMax) break; // ends the loop and the body
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}
