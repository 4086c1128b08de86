/**
 * Load on an HTTP server over connections that stay open: cheap enough that the server is what is
 * measured. Speaks just enough HTTP/1.1 for answers with a content-length.
 */
import { SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";

const clock = new SystemClock();
const BUFFER_BYTES = 64 * 1024;

export interface LoadRequest {
  method: string;
  path: string;
  body?: string;
}

export interface LoadOptions {
  /** http://host:port */
  server: string;
  token?: string;
  connections: number;
  requests: number;
  /** Requests begin at this pace; as fast as answers come when left out. */
  perSecond?: number;
  make: (index: number) => LoadRequest;
  signal: AbortSignal;
}

export interface LoadResult {
  perSecond: number;
  /** ms, sorted. */
  latencies: number[];
}

export async function loadHttp(options: LoadOptions): Promise<LoadResult> {
  const { connections, requests, perSecond, signal } = options;
  const latencies: number[] = [];
  const startMs = clock.monotonicMs();
  let next = 0;
  const worker = async () => {
    const connection = await Connection.open(options);
    try {
      for (let i = next++; i < requests; i = next++) {
        signal.throwIfAborted();
        // where there is a pace, from when it was due: what waited for a connection waited too
        const dueMs = perSecond ? startMs + i * 1_000 / perSecond : clock.monotonicMs();
        const waitMs = dueMs - clock.monotonicMs();
        if (waitMs > 0) await clock.sleep(waitMs, signal);
        const beginMs = perSecond ? dueMs : clock.monotonicMs();
        await connection.ask(options.make(i));
        latencies.push(clock.monotonicMs() - beginMs);
      }
    } finally {
      connection.close();
    }
  };
  await Promise.all(Array.from({ length: connections }, worker));
  const seconds = (clock.monotonicMs() - startMs) / 1_000;
  return { perSecond: requests / seconds, latencies: latencies.sort((a, b) => a - b) };
}

/** Of sorted latencies. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

class Connection {
  readonly #tcp: Deno.TcpConn;
  readonly #head: string;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  readonly #encoder = new TextEncoder();

  private constructor(tcp: Deno.TcpConn, head: string) {
    this.#tcp = tcp;
    this.#head = head;
  }

  static async open({ server, token }: LoadOptions): Promise<Connection> {
    const { hostname, port, host } = new URL(server);
    const tcp = await Deno.connect({ hostname, port: Number(port) });
    tcp.setNoDelay(true);
    const shown = token === undefined ? "" : `Authorization: Bearer ${token}\r\n`;
    return new Connection(tcp, `Host: ${host}\r\n${shown}`);
  }

  async ask({ method, path, body = "" }: LoadRequest): Promise<void> {
    const length = body === "" ? "" : `Content-Length: ${this.#encoder.encode(body).length}\r\n`;
    const text = `${method} ${path} HTTP/1.1\r\n${this.#head}${length}\r\n${body}`;
    const bytes = this.#encoder.encode(text);
    for (let sent = 0; sent < bytes.length;) sent += await this.#tcp.write(bytes.subarray(sent));
    const answer = await this.#read();
    if (!/^HTTP\/1\.1 2/.test(answer)) {
      throw new AppError("unavailable", `${method} ${path}: ${answer.slice(0, 400)}`);
    }
  }

  async #read(): Promise<string> {
    const decoder = new TextDecoder("latin1");
    let text = "";
    for (;;) {
      const count = await this.#tcp.read(this.#buffer);
      if (count === null) throw new AppError("unavailable", "the server closed the connection");
      text += decoder.decode(this.#buffer.subarray(0, count));
      const end = text.indexOf("\r\n\r\n");
      if (end < 0) continue;
      const length = Number(/^content-length: (\d+)/im.exec(text.slice(0, end))?.[1] ?? "0");
      if (text.length >= end + 4 + length) return text;
    }
  }

  close(): void {
    this.#tcp.close();
  }
}
