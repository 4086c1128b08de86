/**
 * The bounds of the link, each at its edge: what is exactly as large passes, what is larger is
 * refused with a word that says so, and only the session it came in ends.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import type { Enrolled } from "../../edge/link/enroll.ts";
import { GoAwayReason } from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { HUB_MESSAGE_BYTES_MAX, OBJECT_BYTES_MAX } from "../../shared/limits.ts";
import { COMPRESSED, encodeRequest, envelope, PLAIN, RawNode } from "../support/link/raw_node.ts";
import { makeWorld, until, type World } from "./hub_world.ts";

/** Inflates to far more than a message may have, from far less. */
const BOMB_BYTES = 512 * 1024 * 1024;

/** A world with a well-behaved node beside the one that is not; it must live through it all. */
async function withNeighbour(
  work: (world: World, enrolled: Enrolled) => Promise<void>,
): Promise<void> {
  await using world = await makeWorld();
  const neighbour = world.link("good", await world.enroll("good"));
  await until("the neighbour is live", () => neighbour.link.status().state === "live");
  const { since } = neighbour.link.status();
  await work(world, await world.enroll("bad"));
  neighbour.outbox.put("status", "pods/x", {
    kind: "pod_gone",
    pod: { namespace: "default", name: "x", uid: "u" },
  });
  await until("the neighbour's report arrived", () => neighbour.outbox.depth === 0);
  assertEquals([neighbour.link.status().state, neighbour.link.status().since], ["live", since]);
}

function reportBatch(...sizes: number[]) {
  const items = sizes.map((size, i) => ({
    sequence: BigInt(i + 1),
    key: `k${i}`,
    body: new Uint8Array(size),
  }));
  return { case: "reportBatch" as const, value: { items } };
}

/** Reports whose message has exactly `bytes`. */
function batchOf(bytes: number): Uint8Array {
  const fill = (last: number) =>
    encodeRequest(reportBatch(OBJECT_BYTES_MAX, OBJECT_BYTES_MAX, last));
  const probe = 1_000_000;
  const encoded = fill(probe + bytes - fill(probe).length);
  assertEquals(encoded.length, bytes);
  return encoded;
}

async function goneAway(node: RawNode): Promise<string> {
  await until("the hub says go", () => node.count("goAway") === 1);
  const last = node.received.at(-1);
  assert(last?.case === "goAway" && last.value.reason === GoAwayReason.PROTOCOL);
  return last.value.message;
}

Deno.test("a message of exactly the bound passes, a larger one ends its session only", async () => {
  await withNeighbour(async (world, enrolled) => {
    using exact = new RawNode(world.address, enrolled);
    exact.hello("i", 1n);
    exact.sendBytes(envelope(PLAIN, batchOf(HUB_MESSAGE_BYTES_MAX)));
    await until("it is acknowledged", () => exact.count("reportAck") > 0);
    using over = new RawNode(world.address, enrolled);
    over.hello("i", 2n);
    await until("it is welcome", () => over.count("welcome") === 1);
    // refused by what it claims, before any of it has come
    over.sendBytes(envelope(PLAIN, new Uint8Array(), HUB_MESSAGE_BYTES_MAX + 1));
    assertStringIncludes(await goneAway(over), String(HUB_MESSAGE_BYTES_MAX));
    await over.end;
  });
});

Deno.test("a report of exactly the bound passes, a larger one ends its session only", async () => {
  await withNeighbour(async (world, enrolled) => {
    using node = new RawNode(world.address, enrolled);
    node.hello("i", 1n);
    node.send(reportBatch(OBJECT_BYTES_MAX));
    await until("it is acknowledged", () => node.count("reportAck") === 1);
    node.send(reportBatch(OBJECT_BYTES_MAX + 1));
    assertStringIncludes(await goneAway(node), "too large");
    await node.end;
  });
});

Deno.test("more reports than the window ends the session of who sends them", async () => {
  await withNeighbour(async (world, enrolled) => {
    using node = new RawNode(world.address, enrolled);
    node.hello("i", 1n);
    await until("it is welcome", () => node.count("welcome") === 1);
    const [welcome] = node.received;
    assert(welcome?.case === "welcome");
    node.send(reportBatch(...Array(welcome.value.reportItemsMax + 1).fill(1)));
    assertStringIncludes(await goneAway(node), "more than the window");
    await node.end;
  });
});

Deno.test("a zip bomb is refused before it is inflated, and ends its session only", async () => {
  await withNeighbour(async (world, enrolled) => {
    const bomb = gzipSync(new Uint8Array(BOMB_BYTES));
    assert(bomb.length < HUB_MESSAGE_BYTES_MAX);
    const before = Deno.memoryUsage().rss;
    using node = new RawNode(world.address, enrolled);
    node.hello("i", 1n);
    await until("it is welcome", () => node.count("welcome") === 1);
    node.sendBytes(envelope(COMPRESSED, bomb));
    assertStringIncludes(await goneAway(node), "after decompression");
    await node.end;
    const grown = Deno.memoryUsage().rss - before;
    assert(grown < BOMB_BYTES / 4, `memory grew by ${grown} bytes`);
  });
});

Deno.test("a node refuses a zip bomb of its hub by a word, and dials again", async () => {
  await using world = await makeWorld();
  const enrolled = await world.enroll("n1");
  const { certificate, privateKey } = await world.pki.signer.issueHub();
  const server = http2.createSecureServer({ cert: certificate, key: privateKey });
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session: http2.ServerHttp2Session) => sessions.add(session));
  server.on("sessionError", () => {});
  const bomb = gzipSync(new Uint8Array(BOMB_BYTES));
  let calls = 0;
  server.on("stream", (stream: http2.ServerHttp2Stream) => {
    calls++;
    stream.on("error", () => {}); // the node goes
    stream.respond({
      ":status": 200,
      "content-type": "application/connect+proto",
      "connect-content-encoding": "gzip",
    });
    stream.write(envelope(COMPRESSED, bomb));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as AddressInfo; // listening on TCP
    const before = Deno.memoryUsage().rss;
    const { link } = world.link("n1", enrolled, { addresses: [`127.0.0.1:${port}`] });
    await until("it was refused", () => link.status().lastError !== undefined);
    assertStringIncludes(link.status().lastError ?? "", "after decompression");
    const grown = Deno.memoryUsage().rss - before;
    assert(grown < BOMB_BYTES / 4, `memory grew by ${grown} bytes`);
    const first = calls;
    link.reconnectNow();
    await until("it dials again", () => calls > first);
  } finally {
    for (const session of sessions) session.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
});

Deno.test("an object beyond the bound is refused by the node it is for, and named", async () => {
  await withNeighbour(async (world, enrolled) => {
    const { link, ledger } = world.link("bad", enrolled);
    await until("it is live", () => link.status().state === "live");
    world.source.set("bad", "fits", "1", noise(OBJECT_BYTES_MAX - 1_000));
    await until("what fits is held", () => ledger.items.has("pods/default/fits"));
    world.source.set("bad", "large", "1", noise(OBJECT_BYTES_MAX + 1_000));
    await until("it is refused", () => link.status().lastError !== undefined);
    assertStringIncludes(link.status().lastError ?? "", "pods/default/large is too large");
    assertEquals(ledger.items.has("pods/default/large"), false);
  });
});

Deno.test("a late twin of a session is refused, a newer session takes over", async () => {
  await using world = await makeWorld();
  const enrolled = await world.enroll("n1");
  using live = new RawNode(world.address, enrolled);
  live.hello("i", 5n);
  await until("it is welcome", () => live.count("welcome") === 1);
  for (const late of [4n, 5n]) {
    using twin = new RawNode(world.address, enrolled);
    twin.hello("i", late);
    const { code, message } = await twin.end;
    assertEquals(code, "failed_precondition");
    assertStringIncludes(message ?? "", "a newer session of the same process is live");
    assertEquals(twin.count("welcome"), 0);
  }
  live.send({ case: "heartbeat", value: { counter: 1n } });
  await until("the live one is answered", () => live.count("heartbeat") === 1);
  using newer = new RawNode(world.address, enrolled);
  newer.hello("i", 6n);
  await until("the newer is welcome", () => newer.count("welcome") === 1);
  await until("the older is told", () => live.count("goAway") === 1);
  const last = live.received.at(-1);
  assertEquals(last?.case === "goAway" && last.value.reason, GoAwayReason.REPLACED);
});

/** Text that does not shrink. */
function noise(length: number): string {
  return Array.from({ length }, (_, i) => ((i * 7_919) % 36).toString(36)).join("");
}
