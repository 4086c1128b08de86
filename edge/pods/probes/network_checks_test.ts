import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import http2 from "node:http2";
import net from "node:net";
import {
  exportPrivateKey,
  generateKeyPair,
  loadX509,
  SIGNATURE_ALGORITHM,
} from "../../../shared/wire/x509.ts";
import { systemNetworkChecks as checks } from "./network_checks.ts";
import { httpTarget, probeTarget } from "./target.ts";

const NEVER = new AbortController().signal;
const MAIN = { name: "main", ports: [{ name: "web", containerPort: 8080 }] };

async function withHttp(
  handler: (request: Request) => Response,
  work: (port: number) => Promise<void>,
): Promise<void> {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, handler);
  try {
    await work(server.addr.port);
  } finally {
    await server.shutdown();
  }
}

function get(port: number, path: string, headers: { name: string; value: string }[] = []) {
  const action = { port, path, host: "127.0.0.1", httpHeaders: headers };
  return checks.http(httpTarget(action, MAIN, "", "kube-probe/1.33"), NEVER);
}

Deno.test("httpGet: status codes, redirects and headers as kubelet has them", async () => {
  const seen: Record<string, string>[] = [];
  const handler = (request: Request) => {
    const url = new URL(request.url);
    seen.push(Object.fromEntries(request.headers));
    const code = Number(url.pathname.slice(1));
    const location = url.searchParams.get("to");
    if (location) return new Response("moved", { status: code, headers: { location } });
    return new Response(code === 304 || code === 204 ? null : "x".repeat(20_000), {
      status: code || 200,
    });
  };
  await withHttp(handler, async (port) => {
    const answers: [string, boolean, RegExp][] = [
      ["/", true, /^$/],
      ["/204", true, /^$/],
      ["/304", true, /^Probe terminated redirects/],
      ["/404", false, /^HTTP probe failed with statuscode: 404$/],
      ["/503?a=b", false, /statuscode: 503/],
      ["/302?to=/500", false, /statuscode: 500/],
      ["/302?to=/200", true, /^$/],
      ["/302?to=http://other.example/", true, /^Probe terminated redirects, Response body: moved$/],
      ["/302?to=/302%3Fto=/200", true, /^$/],
    ];
    for (const [path, ok, words] of answers) {
      const answer = await get(port, path).catch((e) => ({ ok: false, message: String(e) }));
      assertEquals(answer.ok, ok, `${path}: ${answer.message}`);
      assertMatch(answer.message, words, path);
    }
    assertEquals(seen[0]!["user-agent"], "kube-probe/1.33");
    assertEquals(seen[0]!["accept"], "*/*");
    seen.length = 0;
    await get(port, "200", [
      { name: "Host", value: "app.example" },
      { name: "X-A", value: "1" },
      { name: "Accept", value: "" },
    ]);
    assertEquals([seen[0]!.host, seen[0]!["x-a"], seen[0]!.accept], [
      "app.example",
      "1",
      undefined,
    ]);
  });
});

Deno.test("httpGet: a loop of redirects ends, a refusal is in Go's words", async () => {
  const loop = (request: Request) =>
    new Response("", { status: 302, headers: { location: new URL(request.url).pathname } });
  await withHttp(loop, async (port) => {
    assertMatch((await get(port, "/a")).message, /stopped after 10 redirects/);
  });
  assertEquals(await get(1, "/x"), {
    ok: false,
    message: 'Get "http://127.0.0.1:1/x": dial tcp 127.0.0.1:1: connect: connection refused',
  });
});

Deno.test("a server that never answers is given up with the signal", async () => {
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => void sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo; // it listens on TCP
  for (const kind of ["http", "grpc"] as const) {
    const end = new AbortController();
    const reason = new Error("over");
    const call = kind === "http"
      ? checks.http(httpTarget({ port }, MAIN, "127.0.0.1", "probe"), end.signal)
      : checks.grpc({ host: "127.0.0.1", port, service: "" }, end.signal);
    const failed = assertRejects(() => call, Error, "over");
    while (sockets.length === 0) await new Promise((resolve) => server.once("connection", resolve));
    end.abort(reason);
    await failed;
    sockets.splice(0).forEach((socket) => socket.destroy());
  }
  await new Promise((resolve) => server.close(resolve));
});

Deno.test("tcpSocket: open and refused", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr; // it listens on TCP
  assertEquals(await checks.tcp("127.0.0.1", port, NEVER), { ok: true, message: "" });
  listener.close();
  assertEquals(await checks.tcp("127.0.0.1", port, NEVER), {
    ok: false,
    message: `dial tcp 127.0.0.1:${port}: connect: connection refused`,
  });
});

Deno.test("grpc: serving, not serving, no health service, no server", async () => {
  const asked: string[] = [];
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
    const chunks: Uint8Array[] = [];
    stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    stream.on("end", () => {
      const frame = chunks[0] ?? new Uint8Array();
      const service = new TextDecoder().decode(frame.subarray(7));
      asked.push(`${headers[":path"]} ${service}`);
      if (service === "none") {
        stream.respond({
          ":status": 200,
          "content-type": "application/grpc",
          "grpc-status": "12",
          "grpc-message": "unknown service%21",
        }, { endStream: true });
        return;
      }
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, {
        waitForTrailers: true,
      });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      const status = service === "bad" ? 2 : 1;
      stream.end(new Uint8Array([0, 0, 0, 0, 2, 0x08, status]));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo; // it listens on TCP
  const check = (service: string) => checks.grpc({ host: "127.0.0.1", port, service }, NEVER);
  assertEquals(await check(""), { ok: true, message: "" });
  assertEquals(await check("good"), { ok: true, message: "" });
  assertEquals(await check("bad"), {
    ok: false,
    message: 'service unhealthy (responded with "NOT_SERVING")',
  });
  assertEquals(await check("none"), {
    ok: false,
    message: "error: this server does not implement the grpc health protocol " +
      "(grpc.health.v1.Health): unknown service!",
  });
  assertEquals(asked[1], "/grpc.health.v1.Health/Check good");
  await new Promise((resolve) => server.close(resolve));
  assert(!(await check("")).ok);
});

Deno.test("targets: named ports, defaults and refusals", () => {
  const at = (probe: Parameters<typeof probeTarget>[0]) =>
    probeTarget(probe, MAIN, "10.0.0.2", "kube-probe/1.33");
  const web = at({ httpGet: { port: "web" } });
  assertEquals(web.kind === "http" && web.shown, "http://10.0.0.2:8080/");
  assertEquals(at({ tcpSocket: { port: "81" } }), { kind: "tcp", host: "10.0.0.2", port: 81 });
  assertEquals(at({ grpc: { port: 9 } }), { kind: "grpc", host: "10.0.0.2", port: 9, service: "" });
  for (
    const bad of [
      { httpGet: { port: "nope" } },
      { tcpSocket: { port: 0 } },
      { tcpSocket: { port: 70_000 } },
      { httpGet: { port: 80, scheme: "FTP" } },
      {},
    ]
  ) {
    let refused = "";
    try {
      at(bad);
    } catch (error) {
      refused = String(error);
    }
    assertMatch(refused, /^AppError: /, JSON.stringify(bad));
  }
});

/** A certificate nobody has reason to trust, and its key, in PEM. */
async function strangersCertificate(): Promise<{ cert: string; key: string }> {
  const { X509CertificateGenerator } = await loadX509();
  const keys = await generateKeyPair();
  const made = await X509CertificateGenerator.createSelfSigned({
    name: "CN=somebody.example",
    keys,
    signingAlgorithm: SIGNATURE_ALGORITHM,
  });
  return { cert: made.toString("pem"), key: await exportPrivateKey(keys.privateKey) };
}

Deno.test("httpGet over TLS trusts anybody, and knows a plain HTTP server", async () => {
  const tls = await strangersCertificate();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {}, ...tls },
    () => new Response("ok"),
  );
  const at = (port: number) =>
    checks.http(
      httpTarget({ port, scheme: "HTTPS", host: "127.0.0.1" }, MAIN, "", "kube-probe/1.33"),
      NEVER,
    );
  assertEquals(await at(server.addr.port), { ok: true, code: 200, message: "" });
  await server.shutdown();
  await withHttp(() => new Response("plain"), async (port) => {
    assertEquals(await at(port), {
      ok: false,
      isPlain: true,
      message: `Get "https://127.0.0.1:${port}/": ` +
        "http: server gave HTTP response to HTTPS client",
    });
  });
});
