/**
 * The HTTP/2 connection of a gRPC client to a Unix socket: opened by the first request, shared by
 * all, and opened anew by the next request once it was lost. `close()` resolves when no socket is
 * left.
 *
 * A server that shuts down in good order says GOAWAY and closes streams without an error code; the
 * gRPC client would then wait for ever for an answer. So a stream that closes before its status
 * came is made to fail here.
 */
import type http2 from "node:http2";
import net from "node:net";
import { Http2Client } from "./http2_client.ts";

/** Only a name for HTTP/2's :authority; the connection goes to the socket. */
export const UNIX_AUTHORITY = "http://localhost";

type Request = Http2Client["request"];

export class UnixSessions extends Http2Client {
  readonly #sockets: Set<net.Socket>;

  /**
   * `where` is the socket's path, or makes the connection. `onLost` is called when a connection has
   * ended, whoever ended it.
   */
  constructor(where: string | (() => net.Socket), onLost: () => void = () => {}) {
    const sockets = new Set<net.Socket>();
    const createConnection = () => {
      const socket = typeof where === "string" ? net.connect(where) : where();
      sockets.add(socket);
      socket.once("close", () => {
        sockets.delete(socket);
        onLost();
      });
      return socket;
    };
    super(UNIX_AUTHORITY, { createConnection });
    this.#sockets = sockets;
  }

  override async request(...args: Parameters<Request>): ReturnType<Request> {
    const stream = await super.request(...args);
    failWithoutStatus(stream);
    return stream;
  }

  async close(): Promise<void> {
    const ends = [...this.#sockets].map((socket) =>
      new Promise<void>((resolve) => socket.once("close", () => resolve()))
    );
    this.abort();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(ends);
  }
}

function failWithoutStatus(stream: http2.ClientHttp2Stream): void {
  let hasStatus = false;
  stream.once("trailers", () => hasStatus = true);
  stream.once("response", (headers) => {
    // A refusal has its status in the only headers; what is not 200 is not gRPC's to read.
    if (headers["grpc-status"] !== undefined || headers[":status"] !== 200) hasStatus = true;
  });
  stream.on("error", () => {}); // the gRPC client listens too; a late error must not throw
  stream.once("close", () => {
    if (hasStatus) return;
    const message = "connection closed before the call was answered";
    stream.emit("error", Object.assign(new Error(message), { code: "ECONNRESET" }));
  });
}
