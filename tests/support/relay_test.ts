import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { openRelay } from "./relay.ts";
import { until } from "./until.ts";

/** A server that answers each line it gets with the same bytes. */
function echo() {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const served: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const connection of listener) {
      served.push(connection.readable.pipeTo(connection.writable).catch(() => {}));
    }
  })();
  return {
    target: `127.0.0.1:${listener.addr.port}`,
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting;
      await Promise.all(served);
    },
  };
}

async function ask(connection: Deno.Conn, text: string): Promise<string> {
  await connection.write(new TextEncoder().encode(text));
  const buffer = new Uint8Array(64);
  const count = await connection.read(buffer);
  return new TextDecoder().decode(buffer.subarray(0, count ?? 0));
}

Deno.test("a relay carries; a cut closes and refuses; healing carries again", async () => {
  await using server = echo();
  await using relay = openRelay(server.target);
  const port = relay.port;
  const first = await Deno.connect({ port });
  assertEquals(await ask(first, "one"), "one");
  assertEquals(relay.bytes, { up: 3, down: 3 });

  await relay.cut();
  assertEquals(await first.read(new Uint8Array(1)).catch(() => null), null);
  first.close();
  await assertRejects(() => Deno.connect({ port }));

  relay.heal();
  using second = await Deno.connect({ port });
  assertEquals(await ask(second, "two"), "two");
});

Deno.test("a stalled relay keeps the connection and delivers after healing", async () => {
  await using server = echo();
  await using relay = openRelay(server.target);
  using connection = await Deno.connect({ port: relay.port });
  assertEquals(await ask(connection, "a"), "a");
  relay.stall();
  await connection.write(new TextEncoder().encode("b"));
  let answer = "";
  const reading = connection.read(new Uint8Array(8)).then((count) => answer = `${count} byte`);
  assertEquals(answer, "");
  relay.heal();
  await until(() => answer !== "", { what: "the stalled byte" });
  await reading;
  assertEquals(answer, "1 byte");
});

Deno.test("openRelay() refuses a target that is no address", () => {
  assertThrows(() => openRelay("nowhere"), Error, "HOST:PORT, got nowhere");
});
