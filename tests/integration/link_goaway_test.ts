/** Hubs that go in every way a peer can go: each ends the calls on the connection, none hangs. */
import { assertEquals, assertRejects } from "@std/assert";
import * as http2 from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { openPki } from "../../cloud/pki/pki.ts";
import { type Connection, dial } from "../../edge/link/dial.ts";
import { SystemClock } from "../../shared/clock.ts";
import { SystemRandom } from "../../shared/random.ts";

/** Far more than a loopback needs, far less than any deadline of the link. */
const HANG_MS = 3_000;

type Leave = (stream: http2.ServerHttp2Stream, cut: () => void) => void | Promise<void>;

const RESPONSE = { ":status": 200, "content-type": "application/connect+proto" };

const WAYS: Record<string, Leave> = {
  "GOAWAY, stream closed without a code, before the response": (stream) => {
    stream.session?.goaway(http2.constants.NGHTTP2_NO_ERROR);
    stream.close(http2.constants.NGHTTP2_NO_ERROR);
  },
  "GOAWAY, stream closed without a code, after the response": (stream) => {
    stream.respond(RESPONSE);
    stream.session?.goaway(http2.constants.NGHTTP2_NO_ERROR);
    stream.close(http2.constants.NGHTTP2_NO_ERROR);
  },
  "session closed in good order before the response": (stream) => {
    stream.session?.close();
    stream.session?.destroy();
  },
  "session closed in good order after the response": (stream) => {
    stream.respond(RESPONSE);
    stream.session?.close();
    stream.session?.destroy();
  },
  "connection cut before the response": (_, cut) => cut(),
  "connection cut after the response": async (stream, cut) => {
    stream.respond(RESPONSE);
    await new SystemClock().sleep(50);
    cut();
  },
  "stream ended without a last message": (stream) => {
    stream.respond(RESPONSE);
    stream.end();
  },
};

async function withLeavingHub(leave: Leave, work: (connection: Connection) => Promise<void>) {
  const dir = await Deno.makeTempDir({ prefix: "skerry-goaway-" });
  const pki = await openPki({
    dataDir: dir,
    clock: new SystemClock(),
    random: new SystemRandom(),
  });
  const { certificate, privateKey } = await pki.signer.issueHub();
  const server = http2.createSecureServer({ cert: certificate, key: privateKey });
  const sessions = new Set<http2.ServerHttp2Session>();
  const left: Promise<void>[] = [];
  const sockets = new Set<Socket>();
  server.on("secureConnection", (socket: Socket) => sockets.add(socket.on("error", () => {})));
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {}); // what it says is told by the client
  });
  server.on("stream", (stream: http2.ServerHttp2Stream) => {
    stream.on("error", () => {}); // see above
    left.push(Promise.resolve(leave(stream, () => sockets.forEach((s) => s.destroy()))));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as AddressInfo; // listening on TCP
  const connection = dial(`127.0.0.1:${port}`, { authority: pki.authority.certificate });
  try {
    await work(connection);
  } finally {
    await Promise.all(left);
    connection.close();
    for (const session of sessions) session.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await Deno.remove(dir, { recursive: true });
  }
}

async function* forever() {
  yield {};
  await new Promise<never>(() => {});
}

async function ends(work: () => Promise<unknown>): Promise<void> {
  const stop = new AbortController();
  const late = new SystemClock().sleep(HANG_MS, stop.signal).then(() => "hangs", () => "");
  const done = assertRejects(work).then(() => "ends");
  assertEquals(await Promise.race([late, done]), "ends");
  stop.abort();
}

for (const [way, leave] of Object.entries(WAYS)) {
  Deno.test(`a session and a call end when the hub goes: ${way}`, async (t) => {
    await t.step("stream", () =>
      withLeavingHub(leave, async ({ hub }) => {
        await ends(async () => {
          for await (const _ of hub.session(forever())) { /* none comes */ }
        });
      }));
    await t.step(
      "call",
      () => withLeavingHub(leave, ({ enrollment }) => ends(() => enrollment.getAuthority({}))),
    );
  });
}
