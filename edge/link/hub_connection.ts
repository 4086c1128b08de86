/**
 * The HTTP/2 connection to a hub, opened by the first call and shared by all. A hub that goes in
 * good order says GOAWAY and closes streams without an error code; the client library waits for
 * ever for the answer of such a stream when none had begun. So a stream that closes before its
 * answer began is made to fail here. One whose answer had begun fails by itself.
 */
import { Http2SessionManager } from "@connectrpc/connect-node";
import type http2 from "node:http2";

type Request = Http2SessionManager["request"];

/**
 * Never by itself: the session decides when a connection ends. Beyond what a timer can carry, so
 * that the library starts none, which would outlive the connection.
 */
const IDLE_MS = Number.MAX_SAFE_INTEGER;

export class HubConnection extends Http2SessionManager {
  constructor(baseUrl: string, options: http2.SecureClientSessionOptions) {
    super(baseUrl, { idleConnectionTimeoutMs: IDLE_MS }, options);
  }

  override async request(...args: Parameters<Request>): ReturnType<Request> {
    const stream = await super.request(...args);
    let isAnswered = false;
    stream.once("response", () => isAnswered = true);
    stream.on("error", () => {}); // the client listens too; a late error must not throw
    stream.once("close", () => {
      if (isAnswered) return;
      const message = "connection closed before the call was answered";
      stream.emit("error", Object.assign(new Error(message), { code: "ECONNRESET" }));
    });
    return stream;
  }
}
