/** A gRPC health service (grpc.health.v1) on all addresses of this machine, told what to say. */
import http2 from "node:http2";
import type { AddressInfo } from "node:net";

const SERVING = 1;
const NOT_SERVING = 2;

export class HealthServer implements AsyncDisposable {
  /** What is answered. */
  serving = false;
  /** Services that were asked for. */
  readonly asked: string[] = [];
  readonly #server: http2.Http2Server;
  readonly #sessions = new Set<http2.Http2Session>();

  private constructor() {
    this.#server = http2.createServer();
    this.#server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("close", () => this.#sessions.delete(session));
    });
    this.#server.on("stream", (stream: http2.ServerHttp2Stream) => {
      const chunks: Uint8Array[] = [];
      stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      stream.on("end", () => this.#answer(stream, chunks));
      stream.on("error", () => {}); // the prober gave up
    });
  }

  static async start(): Promise<HealthServer> {
    const server = new HealthServer();
    await new Promise<void>((resolve) => server.#server.listen(0, "0.0.0.0", resolve));
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port; // listening on TCP
  }

  /** A message of one field: 1 is the service's name, or the status. */
  #answer(stream: http2.ServerHttp2Stream, chunks: readonly Uint8Array[]): void {
    const bytes = chunks.flatMap((chunk) => [...chunk]);
    const length = bytes[6] ?? 0;
    this.asked.push(new TextDecoder().decode(new Uint8Array(bytes.slice(7, 7 + length))));
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, {
      waitForTrailers: true,
    });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    const status = this.serving ? SERVING : NOT_SERVING;
    stream.end(new Uint8Array([0, 0, 0, 0, 2, 8, status]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) session.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
