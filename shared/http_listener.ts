/**
 * An HTTP listener of either program. Closing lets requests under way finish for a moment, then
 * ends what is left: open watches and followed logs would hold a graceful end for ever. A body that
 * nobody read is read before the answer goes: over HTTP/2 its sender would else be told of a broken
 * stream, and never see why it was refused.
 */
import type { Clock } from "./clock.ts";
import { formatAddress, parseAddress } from "./config.ts";
import { AppError } from "./errors.ts";

/** How long requests under way may take to finish when the listener closes. */
const CLOSE_MS = 1_000;
/** Of a body nobody wants: beyond that its sender sees the stream end. */
const UNREAD_BYTES_MAX = 16 * 1024 * 1024;
const UNREAD_MS = 5_000;

export interface HttpListenerOptions {
  /** HOST:PORT; port 0 means any free one. */
  listen: string;
  handler: (request: Request) => Response | Promise<Response>;
  /** PEM; plain HTTP without. */
  tls?: { cert: string; key: string };
  clock: Clock;
}

export interface HttpListener {
  /** HOST:PORT as it is really listened on. */
  readonly address: string;
  /** Takes no more connections; ends what is open within about a second. */
  close(): Promise<void>;
}

/** AppError "unavailable" names the address that cannot be listened on. */
export function openHttpListener(options: HttpListenerOptions): HttpListener {
  const { listen, handler, tls, clock } = options;
  const { hostname, port } = parseAddress(listen);
  const end = new AbortController();
  const underWay = new Set<Promise<void>>();
  const answer = async (request: Request): Promise<Response> => {
    const response = await handler(request);
    if (request.body && !request.bodyUsed && !request.body.locked) {
      await readOut(request.body, clock);
    }
    return response;
  };
  try {
    const where = { hostname, port, signal: end.signal, onListen: () => {} };
    const server = Deno.serve({ ...where, ...tls }, (request, info) => {
      // rejects when the client goes first, which is an end as good as any
      const over = info.completed.catch(() => {}).finally(() => underWay.delete(over));
      underWay.add(over);
      return answer(request);
    });
    return {
      address: formatAddress(server.addr),
      // `shutdown` waits for streams without end and bears no abort behind it: one or the other
      close: async () => {
        const inTime = new AbortController();
        const late = clock.sleep(CLOSE_MS, inTime.signal).then(() => true, () => false);
        const done = Promise.all(underWay).then(() => false);
        if (await Promise.race([done, late])) {
          end.abort();
          await server.finished;
        } else {
          // bounded too: a stream may have been asked for at this very moment
          await Promise.race([server.shutdown(), late]);
        }
        inTime.abort();
      },
    };
  } catch (cause) {
    throw new AppError("unavailable", `Cannot listen on ${listen}`, {}, { cause });
  }
}

async function readOut(body: ReadableStream<Uint8Array>, clock: Clock): Promise<void> {
  const over = new AbortController();
  const late = clock.sleep(UNREAD_MS, over.signal).then(() => undefined, () => undefined);
  const reader = body.getReader();
  try {
    for (let bytes = 0; bytes <= UNREAD_BYTES_MAX;) {
      const part = await Promise.race([reader.read(), late]);
      if (!part || part.done) break;
      bytes += part.value.byteLength;
    }
  } catch {
    // its sender has gone: nobody hears the answer either
  } finally {
    over.abort();
    await reader.cancel().catch(() => {}); // it was whole, or its sender has gone
  }
}
