/** Calls over a true HTTP/2 connection: a gRPC client of another make, and bytes laid by hand. */
import http2 from "node:http2";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { fc } from "../../shared/testing/property.ts";
import { AppError } from "../../shared/errors.ts";
import { DeviceManagerService } from "../../shared/gen/v1beta1/api_pb.ts";
import { answerCall, frame, refuseCall, type UnaryMethod, unframe } from "./unary.ts";

const MAX = 1_000;
const PATH = "/v1beta1.DeviceManagerService/ReportDeviceStatus";
const HEADERS = {
  ":method": "POST",
  ":path": PATH,
  "content-type": "application/grpc",
  "te": "trailers",
};

class Served implements AsyncDisposable {
  readonly #server = http2.createServer();
  #session!: http2.ClientHttp2Session;

  static async by(method: UnaryMethod): Promise<Served> {
    const served = new Served();
    const methods = { byPath: new Map([[PATH, method]]), requestBytesMax: MAX };
    served.#server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
      stream.on("error", () => {}); // as dmi.ts does
      void answerCall(stream, headers, methods).catch(() => assert(false, "never rejects"));
    });
    await new Promise<void>((resolve) => served.#server.listen(0, "127.0.0.1", resolve));
    served.#session = http2.connect(served.url);
    return served;
  }

  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
  }

  /** The call's status and words, wherever they stand. */
  async raw(
    body: Uint8Array,
    headers: http2.OutgoingHttpHeaders = {},
  ): Promise<{ status: string; words: string; data: Uint8Array }> {
    const stream = this.#session.request({ ...HEADERS, ...headers });
    const seen: http2.IncomingHttpHeaders = {};
    const chunks: Uint8Array[] = [];
    stream.on("response", (head) => Object.assign(seen, head));
    stream.on("trailers", (trailers) => Object.assign(seen, trailers));
    stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    stream.on("error", () => {}); // seen as the lack of a status
    const closed = new Promise<void>((resolve) => stream.once("close", resolve));
    stream.end(body);
    await closed;
    return {
      status: String(seen["grpc-status"] ?? ""),
      words: decodeURIComponent(String(seen["grpc-message"] ?? "")),
      data: new Uint8Array(await new Blob(chunks.map((chunk) => chunk.slice())).arrayBuffer()),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#session.close(() => resolve()));
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

const echo: UnaryMethod = (request) => Promise.resolve(request);

Deno.test("a call is answered with the method's bytes and status 0", async () => {
  await using served = await Served.by(echo);
  const message = new TextEncoder().encode("twin");
  const { status, data } = await served.raw(frame(message));
  assertEquals([status, unframe(data)], ["0", message]);
  // KubeEdge's mappers, which say no more than this
  const go = { "user-agent": "grpc-go/1.63.0", "grpc-timeout": "999932u" };
  assertEquals((await served.raw(frame(message), go)).status, "0");
  const proto = await served.raw(frame(message), { "content-type": "application/grpc+proto" });
  assertEquals(proto.status, "0");
});

Deno.test("a method hears how long its caller waits", async () => {
  const heard: number[] = [];
  await using served = await Served.by((_request, timeoutMs) => {
    heard.push(timeoutMs);
    return Promise.resolve(new Uint8Array());
  });
  for (const timeout of ["999932u", "2S", "1H", "soon", "S", "123456789S"]) {
    await served.raw(frame(new Uint8Array()), { "grpc-timeout": timeout });
  }
  await served.raw(frame(new Uint8Array()));
  const none = Infinity;
  assertEquals(heard, [999.932, 2_000, 3_600_000, none, none, none, none]);
});

Deno.test("errors have their code and words in the only headers", async () => {
  const words = `Device "ümlaut" 100% ${"x".repeat(5_000)}`;
  await using served = await Served.by(() => Promise.reject(new AppError("not_found", words)));
  const answer = await served.raw(frame(new Uint8Array()));
  assertEquals(answer.status, String(Code.NotFound));
  assertEquals(answer.words, words.slice(0, 1_000));
  assertEquals(answer.data.length, 0);
});

Deno.test("an error nobody foresaw is internal, and tells nothing of the inside", async () => {
  await using served = await Served.by(() => Promise.reject(new Error("secret")));
  const answer = await served.raw(frame(new Uint8Array()));
  assertEquals([answer.status, answer.words], [String(Code.Internal), "Internal error"]);
});

Deno.test("what is no such call is refused by name", async () => {
  await using served = await Served.by(echo);
  const none = new Uint8Array();
  const expect = async (
    code: Code,
    words: string,
    body: Uint8Array,
    headers: http2.OutgoingHttpHeaders = {},
  ) => {
    const answer = await served.raw(body, headers);
    assertEquals(answer.status, String(code), words);
    assert(answer.words.includes(words), answer.words);
  };
  await expect(Code.Unimplemented, "no method /a/B", frame(none), { ":path": "/a/B" });
  await expect(Code.Unimplemented, "Only gRPC", frame(none), { "content-type": "text/html" });
  await expect(Code.Unimplemented, "encoding gzip", frame(none), { "grpc-encoding": "gzip" });
  await expect(Code.Unimplemented, "compressed", Uint8Array.of(1, 0, 0, 0, 0));
  await expect(Code.InvalidArgument, "must hold a message", none);
  await expect(Code.InvalidArgument, "one message of 7 bytes", Uint8Array.of(0, 0, 0, 0, 7));
  await expect(Code.InvalidArgument, "got 6", new Uint8Array([...frame(none), 0, 0, 0, 0, 0, 0]));
  await expect(Code.ResourceExhausted, `<= ${MAX} bytes`, frame(new Uint8Array(MAX + 1)));
  assertEquals((await served.raw(frame(new Uint8Array(MAX)))).status, "0");
});

Deno.test("a body far above the bound is refused while it still comes", async () => {
  await using served = await Served.by(echo);
  const { status } = await served.raw(frame(new Uint8Array(3_000_000)));
  assertEquals(status, String(Code.ResourceExhausted));
  assertEquals((await served.raw(frame(new Uint8Array(1)))).status, "0");
});

Deno.test("a gRPC client reads answers and errors", async () => {
  let calls = 0;
  await using served = await Served.by(() => {
    if (++calls === 1) return Promise.resolve(new Uint8Array());
    return Promise.reject(new AppError("exhausted", "full"));
  });
  const sessionManager = new Http2SessionManager(served.url);
  const transport = createGrpcTransport({ baseUrl: served.url, sessionManager });
  const client = createClient(DeviceManagerService, transport);
  await client.reportDeviceStatus({ deviceName: "d" });
  const error = await assertRejects(() => client.reportDeviceStatus({}), ConnectError, "full");
  assertEquals(error.code, Code.ResourceExhausted);
  sessionManager.abort();
});

Deno.test("a caller that leaves before its body has ended is let go", async () => {
  let ended: Promise<void> | undefined;
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
    stream.on("error", () => {});
    ended = answerCall(stream, headers, {
      byPath: new Map([[PATH, () => Promise.reject(new Error("it has no message"))]]),
      requestBytesMax: MAX,
    }).then(() => refuseCall(stream, new AppError("internal", "said to nobody")));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const stream = session.request(HEADERS);
  stream.on("error", () => {});
  const begun = new Promise<void>((resolve) => server.once("stream", () => resolve()));
  stream.write(frame(new Uint8Array(10)).subarray(0, 7));
  await begun;
  const closed = new Promise<void>((resolve) => stream.once("close", resolve));
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await closed;
  await ended;
  await new Promise<void>((resolve) => session.close(() => resolve()));
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

Deno.test("unframe() undoes frame(), and takes no other bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 50 }), (message) => {
    assertEquals(unframe(frame(message)), message);
  }));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
    const [compressed, a = 0, b = 0, c = 0, d = 0] = bytes;
    const isWhole = bytes.length >= 5 && compressed === 0 &&
      ((a << 24) | (b << 16) | (c << 8) | d) === bytes.length - 5;
    if (isWhole) assertEquals(unframe(bytes), bytes.subarray(5));
    else assertThrows(() => unframe(bytes), AppError);
  }));
});
