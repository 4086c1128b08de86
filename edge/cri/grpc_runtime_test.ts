/** GrpcRuntime before a small gRPC server of the test's own: errors, deadlines, reconnecting. */
import http2 from "node:http2";
import { join } from "@std/path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Code, ConnectError, type ConnectRouter, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AppError, errorChain } from "../../shared/errors.ts";
import { ImageService, RuntimeService } from "../../shared/gen/runtime/v1/api_pb.ts";
import { GrpcRuntime } from "./grpc_runtime.ts";
import { isDeadline } from "./port.ts";

/** A runtime that can be stopped as by kill -9 and started again on the same socket. */
class TestServer implements AsyncDisposable {
  readonly socket: string;
  connections = 0;
  readonly #dir: string;
  readonly #runtime: Partial<ServiceImpl<typeof RuntimeService>>;
  readonly #images: Partial<ServiceImpl<typeof ImageService>>;
  readonly #sessions = new Set<http2.ServerHttp2Session>();
  #server: http2.Http2Server | undefined;

  private constructor(dir: string, services: Partial<TestServices>) {
    this.#dir = dir;
    this.socket = join(dir, "cri.sock");
    this.#runtime = services.runtime ?? {};
    this.#images = services.images ?? {};
  }

  static async start(services: Partial<TestServices>): Promise<TestServer> {
    const server = new TestServer(await Deno.makeTempDir({ prefix: "skerry-grpc-" }), services);
    await server.listen();
    return server;
  }

  get endpoint(): string {
    return `unix://${this.socket}`;
  }

  async listen(): Promise<void> {
    const routes = (router: ConnectRouter) => {
      router.service(RuntimeService, this.#runtime);
      router.service(ImageService, this.#images);
    };
    const server = http2.createServer(connectNodeAdapter({ routes }));
    server.on("session", (session) => {
      this.connections++;
      this.#sessions.add(session);
      session.on("error", () => {}); // the end we give it is the point of the test
      session.once("close", () => this.#sessions.delete(session));
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.socket, resolve));
  }

  async kill(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const session of this.#sessions) session.destroy();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await Deno.remove(this.#dir, { recursive: true });
  }
}

interface TestServices {
  runtime: Partial<ServiceImpl<typeof RuntimeService>>;
  images: Partial<ServiceImpl<typeof ImageService>>;
}

async function rejection(work: () => Promise<unknown>): Promise<AppError> {
  return await assertRejects(work, AppError);
}

/** Never answers; tells when it was called, and ends when the call does. */
function stall() {
  const called = Promise.withResolvers<void>();
  const handler = (_request: unknown, context: { signal: AbortSignal }): Promise<never> => {
    called.resolve();
    return new Promise((_, reject) => {
      context.signal.addEventListener("abort", () => reject(context.signal.reason));
    });
  };
  return { called: called.promise, handler };
}

Deno.test("a socket that is missing is unavailable, by name", async () => {
  const dir = await Deno.makeTempDir();
  await using runtime = new GrpcRuntime(`unix://${dir}/absent.sock`);
  const error = await rejection(() => runtime.version());
  assertEquals(error.code, "unavailable");
  assertEquals(error.message, `Cannot reach container runtime at ${dir}/absent.sock`);
  assert(errorChain(error).includes("ENOENT"), errorChain(error));
  await Deno.remove(dir);
});

Deno.test("a socket that nobody listens on is unavailable, by name", async () => {
  const server = await TestServer.start({});
  await Deno.writeTextFile(`${server.socket}.file`, "");
  await using runtime = new GrpcRuntime(`${server.endpoint}.file`);
  const error = await rejection(() => runtime.version());
  assertEquals(error.code, "unavailable");
  assert(errorChain(error).includes("ECONNREFUSED"), errorChain(error));
  await server[Symbol.asyncDispose]();
});

Deno.test("the runtime's status becomes one of ours and keeps its words", async () => {
  let answer = new ConnectError("");
  const containerStatus = () => Promise.reject(answer);
  await using server = await TestServer.start({ runtime: { containerStatus } });
  await using runtime = new GrpcRuntime(server.endpoint);
  const cases: [Code, string, AppError["code"], string | undefined][] = [
    [Code.NotFound, "no such container", "not_found", undefined],
    [Code.AlreadyExists, "there is one", "already_exists", undefined],
    [Code.InvalidArgument, "bad request", "invalid", undefined],
    [Code.Unavailable, "shutting down", "unavailable", undefined],
    [Code.Unimplemented, "no such call", "unimplemented", undefined],
    [Code.ResourceExhausted, "too many", "exhausted", undefined],
    [Code.FailedPrecondition, "not now", "conflict", undefined],
    [Code.PermissionDenied, "not you", "forbidden", undefined],
    [Code.Canceled, "given up", "canceled", undefined],
    [Code.Unknown, "who knows", "internal", undefined],
    [Code.DeadlineExceeded, "took too long", "unavailable", "deadline_exceeded"],
    [Code.Unknown, "RegistryUnavailable: no route", "internal", "RegistryUnavailable"],
    [
      Code.Unknown,
      'failed to reserve sandbox name "a": name "a" is reserved for "b"',
      "already_exists",
      undefined,
    ],
    [
      Code.Unknown,
      "specified sandbox not found: a: PodSandbox with ID starting with a not found: " +
      "ID does not exist",
      "not_found",
      undefined,
    ],
    [Code.Unknown, 'reference "a/b:1" does not resolve to an image ID', "not_found", undefined],
  ];
  for (const [grpcCode, message, code, reason] of cases) {
    answer = new ConnectError(message, grpcCode);
    const error = await rejection(() => runtime.containerStatus({ containerId: "a" }));
    assertEquals([error.code, error.message, error.facts.reason], [code, message, reason]);
    assertEquals(error.facts.call, "ContainerStatus");
  }
});

Deno.test("stop and remove of what is missing are done; other failures are not", async () => {
  let code = Code.NotFound;
  const missing = () => Promise.reject(new ConnectError("answer", code));
  const runtimeService = {
    stopContainer: missing,
    removeContainer: missing,
    stopPodSandbox: missing,
    removePodSandbox: missing,
  };
  const images = { removeImage: missing };
  await using server = await TestServer.start({ runtime: runtimeService, images });
  await using runtime = new GrpcRuntime(server.endpoint);
  const calls = [
    () => runtime.stopContainer({ containerId: "a", timeout: 1n }),
    () => runtime.removeContainer("a"),
    () => runtime.stopPodSandbox("a"),
    () => runtime.removePodSandbox("a"),
    () => runtime.removeImage({ image: "a" }),
  ];
  for (const call of calls) await call();
  code = Code.Unknown;
  for (const call of calls) assertEquals((await rejection(call)).code, "internal");
});

Deno.test("calls carry kubelet's deadlines", async () => {
  const deadlines: Record<string, string | null> = {};
  const note = (name: string) => (_: unknown, context: { requestHeader: Headers }) => {
    deadlines[name] = context.requestHeader.get("grpc-timeout");
    return {};
  };
  const runtimeService = {
    version: note("version"),
    runPodSandbox: note("runPodSandbox"),
    stopContainer: note("stopContainer"),
    execSync: note("execSync"),
  };
  const images = { pullImage: note("pullImage") };
  await using server = await TestServer.start({ runtime: runtimeService, images });
  await using runtime = new GrpcRuntime(server.endpoint);
  await runtime.version();
  await runtime.runPodSandbox({});
  await runtime.stopContainer({ containerId: "a", timeout: 30n });
  await runtime.pullImage({});
  assertEquals(deadlines, {
    version: "120000m",
    runPodSandbox: "240000m",
    stopContainer: "150000m",
    pullImage: null,
  });
  await runtime.execSync({ containerId: "a", cmd: ["true"], timeout: 5n });
  assertEquals(deadlines.execSync, "125000m");
  await runtime.execSync({ containerId: "a", cmd: ["true"] });
  assertEquals(deadlines.execSync, null);
});

Deno.test("a command past its time is told apart from a runtime that is away", async () => {
  const execSync = () => Promise.reject(new ConnectError("timeout 1s", Code.DeadlineExceeded));
  await using server = await TestServer.start({ runtime: { execSync } });
  await using runtime = new GrpcRuntime(server.endpoint);
  const request = { containerId: "a", cmd: ["sleep"], timeout: 1n };
  assert(isDeadline(await rejection(() => runtime.execSync(request))));
  await server.kill();
  assert(!isDeadline(await rejection(() => runtime.execSync(request))));
});

Deno.test("CRI-O's answer for a command past its time is told as any other's", async () => {
  const late = { exitCode: -1, stderr: new TextEncoder().encode("command timed out") };
  const answers = [late, { ...late, exitCode: 1 }, { ...late, stderr: new Uint8Array() }];
  const execSync = () => answers.shift()!;
  await using server = await TestServer.start({ runtime: { execSync } });
  await using runtime = new GrpcRuntime(server.endpoint);
  const request = { containerId: "a", cmd: ["sleep"], timeout: 1n };
  const error = await rejection(() => runtime.execSync(request));
  assertEquals([isDeadline(error), error.message], [true, "command timed out"]);
  assertEquals((await runtime.execSync(request)).exitCode, 1);
  assertEquals((await runtime.execSync(request)).exitCode, -1);
});

Deno.test("calls share one connection, and a restart of the runtime costs one more", async () => {
  const version = () => Promise.resolve({ runtimeName: "test" });
  await using server = await TestServer.start({ runtime: { version } });
  await using runtime = new GrpcRuntime(server.endpoint);
  await Promise.all(Array.from({ length: 50 }, () => runtime.version()));
  await runtime.version();
  assertEquals(server.connections, 1);
  for (let restart = 1; restart <= 3; restart++) {
    await server.kill();
    await server.listen();
    assertEquals((await runtime.version()).runtimeName, "test");
    assertEquals(server.connections, 1 + restart);
  }
});

Deno.test("a call in flight ends as unavailable when the runtime dies", async () => {
  const { called, handler } = stall();
  await using server = await TestServer.start({ images: { pullImage: handler } });
  await using runtime = new GrpcRuntime(server.endpoint);
  const pull = rejection(() => runtime.pullImage({ image: { image: "slow" } }));
  await called;
  await server.kill();
  const error = await pull;
  assertEquals(error.code, "unavailable", errorChain(error));
  assert(error.message.includes(server.socket), error.message);
});

Deno.test("close ends calls in flight as canceled and refuses later ones", async () => {
  const { called, handler } = stall();
  await using server = await TestServer.start({ images: { pullImage: handler } });
  const runtime = new GrpcRuntime(server.endpoint);
  const pull = rejection(() => runtime.pullImage({ image: { image: "slow" } }));
  await called;
  await runtime.close();
  await runtime.close();
  assertEquals((await pull).code, "canceled");
  assertEquals((await rejection(() => runtime.version())).code, "canceled");
});

Deno.test("an answer beyond 16 MiB is refused as exhausted", async () => {
  const dir = await Deno.makeTempDir({ prefix: "skerry-grpc-" });
  // Announces a message of 17 MiB; the client need not read it to refuse it.
  const prefix = new Uint8Array([0, 0x01, 0x10, 0x00, 0x00]);
  const server = http2.createServer((_request, response) => {
    response.writeHead(200, { "content-type": "application/grpc+proto" });
    response.write(prefix);
  });
  await new Promise<void>((resolve) => server.listen(`${dir}/cri.sock`, resolve));
  const runtime = new GrpcRuntime(`unix://${dir}/cri.sock`);
  const error = await rejection(() => runtime.execSync({ containerId: "a", cmd: ["cat"] }));
  assertEquals(error.code, "exhausted", errorChain(error));
  await runtime.close();
  await new Promise((resolve) => server.close(resolve));
  await Deno.remove(dir, { recursive: true });
});

Deno.test("runtimeConfig() is undefined where the runtime has no such call", async () => {
  await using server = await TestServer.start({});
  await using runtime = new GrpcRuntime(server.endpoint);
  assertEquals(await runtime.runtimeConfig(), undefined);
});

Deno.test("the runtime sees that a consumer left its events", async () => {
  const left = Promise.withResolvers<void>();
  const getContainerEvents = async function* (
    _request: unknown,
    context: { signal: AbortSignal },
  ) {
    context.signal.addEventListener("abort", () => left.resolve());
    yield { containerId: "first" };
    await left.promise;
  };
  await using server = await TestServer.start({ runtime: { getContainerEvents } });
  await using runtime = new GrpcRuntime(server.endpoint);
  for await (const event of runtime.containerEvents(new AbortController().signal)) {
    assertEquals(event.containerId, "first");
    break;
  }
  await left.promise;
});

Deno.test("events end as unavailable with the runtime, or for the caller's reason", async () => {
  const { called, handler } = stall();
  // deno-lint-ignore require-yield -- a stream that says nothing until it is ended
  const getContainerEvents = async function* (
    request: unknown,
    context: { signal: AbortSignal },
  ) {
    await handler(request, context);
  };
  await using server = await TestServer.start({ runtime: { getContainerEvents } });
  await using runtime = new GrpcRuntime(server.endpoint);
  const next = (signal: AbortSignal) =>
    runtime.containerEvents(signal)[Symbol.asyncIterator]().next();
  const events = rejection(() => next(new AbortController().signal));
  await called;
  const controller = new AbortController();
  const reason = new AppError("canceled", "enough");
  const aborted = rejection(() => next(controller.signal));
  await runtime.version().catch(() => {}); // unimplemented; the second stream is open by then
  controller.abort(reason);
  assertEquals(await aborted, reason);
  await server.kill();
  assertEquals((await events).code, "unavailable");
});
