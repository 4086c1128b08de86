import { assertEquals, assertRejects } from "@std/assert";
import http2 from "node:http2";
import net from "node:net";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { RuntimeService } from "../../shared/gen/runtime/v1/api_pb.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { AUTHORITY, RuntimeSessions } from "./runtime_sessions.ts";
import { withUnary } from "./unary_transport.ts";

/** VersionResponse { version: "1" }, with the prefix of a message. */
const ANSWER = [0, 0, 0, 0, 3, 0x0a, 1, 0x31];
const OK = { ":status": 200, "content-type": "application/grpc" };

interface Setup {
  client: ReturnType<typeof createClient<typeof RuntimeService>>;
  clock: SimClock;
}

/** A server that answers every call by `answer`, and a client of it. */
async function withServer(
  answer: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void,
  work: (setup: Setup) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-unary-" });
  const path = `${dir}/cri.sock`;
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
    stream.on("error", () => {}); // the client may have gone
    answer(stream, headers);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const sessions = new RuntimeSessions(path);
  const clock = new SimClock();
  const streaming = createGrpcTransport({ baseUrl: AUTHORITY, sessionManager: sessions });
  const transport = withUnary(streaming, { sessions, readMaxBytes: 1_000, clock });
  try {
    await work({ client: createClient(RuntimeService, transport), clock });
  } finally {
    await sessions.close();
    await new Promise((resolve) => server.close(resolve));
    await Deno.remove(dir, { recursive: true });
  }
}

/** `bytes` one by one, then `trailers`. */
function answerWith(bytes: readonly number[], trailers: Record<string, string>) {
  return (stream: http2.ServerHttp2Stream) => {
    stream.respond(OK, { waitForTrailers: true });
    stream.once("wantTrailers", () => stream.sendTrailers(trailers));
    for (const byte of bytes) stream.write(new Uint8Array([byte]));
    stream.end();
  };
}

async function codeOf(work: () => Promise<unknown>): Promise<[Code, string]> {
  const error = await assertRejects(work, ConnectError);
  return [error.code, error.rawMessage];
}

Deno.test("an answer is put together however it was cut", async () => {
  await withServer(answerWith(ANSWER, { "grpc-status": "0" }), async ({ client, clock }) => {
    assertEquals((await client.version({}, { timeoutMs: 1_000 })).version, "1");
    assertEquals(clock.pending, 0);
  });
});

const BAD: [string, (stream: http2.ServerHttp2Stream) => void, Code, string][] = [
  [
    "a status without a message",
    answerWith([], { "grpc-status": "0" }),
    Code.Internal,
    "answer is not one message",
  ],
  [
    "half a message",
    answerWith(ANSWER.slice(0, 6), { "grpc-status": "0" }),
    Code.Internal,
    "answer is not one message",
  ],
  [
    "two messages",
    answerWith([...ANSWER, ...ANSWER], { "grpc-status": "0" }),
    Code.Internal,
    "answer is not one message",
  ],
  [
    "a compressed message",
    answerWith([1, ...ANSWER.slice(1)], { "grpc-status": "0" }),
    Code.Internal,
    "answer is compressed",
  ],
  [
    "a message beyond the limit",
    answerWith([0, 0, 0, 4, 0], { "grpc-status": "0" }),
    Code.ResourceExhausted,
    "answer is longer than 1000 bytes",
  ],
  [
    "a failure in words beyond ASCII",
    answerWith([], { "grpc-status": "5", "grpc-message": "no %E2%82%AC" }),
    Code.NotFound,
    "no €",
  ],
  [
    "words that are badly written",
    answerWith([], { "grpc-status": "5", "grpc-message": "100 %" }),
    Code.NotFound,
    "100 %",
  ],
  ["a status nobody knows", answerWith([], { "grpc-status": "99" }), Code.Internal, ""],
  [
    "no such service",
    (stream) => stream.respond({ ":status": 404 }, { endStream: true }),
    Code.Unimplemented,
    "HTTP 404",
  ],
];
for (const [name, answer, code, message] of BAD) {
  Deno.test(`an answer that is none: ${name}`, async () => {
    await withServer(answer, async ({ client }) => {
      assertEquals(await codeOf(() => client.version({})), [code, message]);
    });
  });
}

Deno.test("calls and streams say the plain content type of gRPC, as CRI-O demands", async () => {
  const types: unknown[] = [];
  const server = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    types.push(headers["content-type"]);
    answerWith(ANSWER, { "grpc-status": "0" })(stream);
  };
  await withServer(server, async ({ client }) => {
    await client.version({});
    for await (const event of client.getContainerEvents({})) assertEquals(event.containerId, "1");
  });
  assertEquals(types, ["application/grpc", "application/grpc"]);
});

Deno.test("a call past its time ends, and the other side is told", async () => {
  const called = Promise.withResolvers<http2.ServerHttp2Stream>();
  await withServer((stream) => called.resolve(stream), async ({ client, clock }) => {
    const ended = codeOf(() => client.version({}, { timeoutMs: 5_000 }));
    const stream = await called.promise;
    const told = new Promise((resolve) => stream.once("close", () => resolve(stream.rstCode)));
    await clock.advance(5_000);
    assertEquals((await ended)[0], Code.DeadlineExceeded);
    assertEquals(await told, http2.constants.NGHTTP2_CANCEL);
  });
});

Deno.test("a call that is given up ends, and the other side is told", async () => {
  const called = Promise.withResolvers<http2.ServerHttp2Stream>();
  await withServer((stream) => called.resolve(stream), async ({ client, clock }) => {
    const giveUp = new AbortController();
    const ended = codeOf(() => client.version({}, { timeoutMs: 5_000, signal: giveUp.signal }));
    const stream = await called.promise;
    const told = new Promise((resolve) => stream.once("close", () => resolve(stream.rstCode)));
    giveUp.abort();
    assertEquals((await ended)[0], Code.Canceled);
    assertEquals(await told, http2.constants.NGHTTP2_CANCEL);
    assertEquals(clock.pending, 0);
  });
});

Deno.test("a server that takes the connection and says nothing holds nobody up", async () => {
  const dir = await Deno.makeTempDir({ prefix: "skerry-unary-" });
  const path = `${dir}/cri.sock`;
  const taken = Promise.withResolvers<net.Socket>();
  const server = net.createServer((socket) => taken.resolve(socket));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const sessions = new RuntimeSessions(path);
  const clock = new SimClock();
  const streaming = createGrpcTransport({ baseUrl: AUTHORITY, sessionManager: sessions });
  const transport = withUnary(streaming, { sessions, readMaxBytes: 1_000, clock });
  const client = createClient(RuntimeService, transport);
  const giveUp = new AbortController();
  const late = codeOf(() => client.version({}, { timeoutMs: 5_000 }));
  const givenUp = codeOf(() => client.version({}, { signal: giveUp.signal }));
  const socket = await taken.promise;
  giveUp.abort();
  await clock.advance(5_000);
  assertEquals((await late)[0], Code.DeadlineExceeded);
  assertEquals((await givenUp)[0], Code.Canceled);
  await sessions.close();
  socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  await Deno.remove(dir, { recursive: true });
});
