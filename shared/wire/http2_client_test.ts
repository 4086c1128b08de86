import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConnectError } from "@connectrpc/connect";
import http2 from "node:http2";
import net from "node:net";
import { join } from "@std/path";
import { Http2Client } from "./http2_client.ts";

async function serving(
  server: net.Server | http2.Http2Server,
  work: (client: Http2Client) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir();
  const path = join(dir, "socket");
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const client = new Http2Client("http://localhost", { createConnection: () => net.connect(path) });
  try {
    await work(client);
  } finally {
    client.abort();
    await new Promise((resolve) => server.close(resolve));
    await Deno.remove(dir, { recursive: true });
  }
}

const get = (client: Http2Client) => client.request("GET", "/x", {}, {});

Deno.test("a peer that hangs up as soon as it is called fails calls, no more", async () => {
  const server = net.createServer((socket) => socket.on("error", () => {}).destroy());
  await serving(server, async (client) => {
    for (let i = 0; i < 200; i++) {
      try {
        const stream = await get(client);
        await new Promise((resolve) => stream.on("error", () => {}).once("close", resolve));
      } catch (error) {
        assert(error instanceof ConnectError, String(error));
      }
    }
  });
});

Deno.test("calls share a connection; after it is lost the next one opens another", async () => {
  // not sessions: one that a Deno server ends after two calls can end the program (nghttp2 asserts)
  const sockets: net.Socket[] = [];
  const server = http2.createServer();
  server.on("connection", (socket) => void sockets.push(socket));
  server.on("stream", (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ":status": 204 });
    stream.end();
  });
  const call = async (client: Http2Client) => {
    const stream = await get(client);
    stream.on("error", () => {});
    stream.resume();
    stream.end();
    await new Promise((resolve) => stream.once("close", resolve));
  };
  await serving(server, async (client) => {
    assertEquals(client.state(), "closed");
    assertEquals(await client.connect(), "open");
    await Promise.all([call(client), call(client)]);
    assertEquals([sockets.length, client.state()], [1, "open"]);
    sockets[0]!.destroy();
    while (client.state() === "open") await new Promise((resolve) => setImmediate(resolve));
    await call(client);
    assertEquals([sockets.length, client.state()], [2, "open"]);
  });
});

Deno.test("where nobody listens, a call says so, and so does the state", async () => {
  const createConnection = () => net.connect("/nowhere/socket");
  const client = new Http2Client("http://localhost", { createConnection });
  await assertRejects(() => get(client), ConnectError, "ENOENT");
  assertEquals([client.state(), await client.connect()], ["error", "error"]);
  assert(client.error() instanceof ConnectError);
  client.abort();
});
