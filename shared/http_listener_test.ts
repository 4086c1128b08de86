import { assertEquals, assertThrows } from "@std/assert";
import * as http2 from "node:http2";
import { SystemClock } from "./clock.ts";
import { AppError } from "./errors.ts";
import { openHttpListener } from "./http_listener.ts";
import { exportPrivateKey, generateKeyPair, loadX509, SIGNATURE_ALGORITHM } from "./wire/x509.ts";

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

Deno.test("who is refused over HTTP/2 hears it, though nobody read what he sent", async () => {
  const { certificate, key } = await pair();
  const listener = openHttpListener({
    listen: "127.0.0.1:0",
    clock,
    tls: { cert: certificate, key },
    handler: () => new Response("no", { status: 401 }),
  });
  const port = listener.address.split(":").at(-1);
  const client = http2.connect(`https://localhost:${port}`, { ca: certificate });
  try {
    for (const bytes of [0, 3, 3, 3, 3, 3_000_000]) {
      assertEquals(await post(client, bytes), { status: 401, text: "no", resetWith: 0 });
    }
  } finally {
    client.destroy();
    await listener.close();
  }
});

/** As curl sees it: an answer, and whether its stream was broken off all the same. */
async function post(client: http2.ClientHttp2Session, bytes: number) {
  const stream = client.request({ ":method": "POST", ":path": "/" });
  const closed = new Promise<void>((resolve) => stream.once("close", () => resolve()));
  let [status, text] = [0, ""];
  stream.on("error", () => {}); // told by the code it was reset with
  stream.on("response", (headers) => status = headers[":status"] ?? 0);
  stream.on("data", (chunk) => text += chunk);
  stream.setTimeout(20_000, () => stream.destroy()); // one that is broken off may say nothing
  stream.end(new Uint8Array(bytes));
  await closed;
  return { status, text, resetWith: stream.rstCode };
}

/** A certificate for localhost, as its own authority. */
async function pair(): Promise<{ certificate: string; key: string }> {
  const { X509CertificateGenerator, SubjectAlternativeNameExtension } = await loadX509();
  const keys = await generateKeyPair();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=localhost",
    keys,
    notBefore: new Date("1970-01-01T00:00:00Z"),
    notAfter: new Date("2099-01-01T00:00:00Z"),
    signingAlgorithm: SIGNATURE_ALGORITHM,
    extensions: [new SubjectAlternativeNameExtension([{ type: "dns", value: "localhost" }])],
  });
  return { certificate: certificate.toString("pem"), key: await exportPrivateKey(keys.privateKey) };
}
