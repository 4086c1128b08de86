/**
 * The HTTP/2 connection to a hub, opened by the first call and shared by all. A hub that goes in
 * good order says GOAWAY and closes streams without an error code; the client library waits for
 * ever for the answer of such a stream when none had begun. So a stream that closes before its
 * answer began is made to fail here. One whose answer had begun fails by itself.
 */
import { Http2Client } from "../../shared/wire/http2_client.ts";

type Request = Http2Client["request"];

export class HubConnection extends Http2Client {
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
