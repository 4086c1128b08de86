import { assertEquals, assertThrows } from "@std/assert";
import { SystemClock } from "./clock.ts";
import { AppError } from "./errors.ts";
import { openHttpListener } from "./http_listener.ts";

const clock = new SystemClock();

Deno.test("closing lets a request under way finish", async () => {
  const arrived = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const listener = openHttpListener({
    listen: "127.0.0.1:0",
    clock,
    handler: async () => {
      arrived.resolve();
      await release.promise;
      return new Response("whole");
    },
  });
  const asked = fetch(`http://${listener.address}/`).then((response) => response.text());
  await arrived.promise;
  let closed = false;
  const closing = listener.close().then(() => closed = true);
  await clock.sleep(20);
  assertEquals(closed, false);
  release.resolve();
  assertEquals(await asked, "whole");
  await closing;
});

Deno.test("closing ends a stream that would go on for ever", async () => {
  const gone = Promise.withResolvers<void>();
  const listener = openHttpListener({
    listen: "127.0.0.1:0",
    clock,
    handler: () =>
      new Response(
        new ReadableStream({
          start: (stream) => stream.enqueue(new TextEncoder().encode("x")),
          cancel: () => gone.resolve(),
        }),
      ),
  });
  const response = await fetch(`http://${listener.address}/`);
  const reader = response.body!.getReader();
  await reader.read();
  await listener.close();
  await gone.promise;
  await reader.read().catch(() => {}); // the connection was ended under it
  await reader.cancel().catch(() => {});
});

Deno.test("an address that is taken is named", async () => {
  const handler = () => new Response("");
  const first = openHttpListener({ listen: "127.0.0.1:0", clock, handler });
  const again = () => openHttpListener({ listen: first.address, clock, handler });
  assertThrows(again, AppError, first.address);
  await first.close();
});
