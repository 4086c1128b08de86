import { assertEquals, assertThrows } from "@std/assert";
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
  const client = Deno.createHttpClient({ caCerts: [certificate], http1: false, http2: true });
  const url = `https://localhost:${listener.address.split(":").at(-1)}/`;
  try {
    for (const bytes of [0, 3, 3_000_000]) {
      for (let i = 0; i < 5; i++) {
        const body = new Uint8Array(bytes);
        const response = await fetch(url, { method: "POST", body, client });
        assertEquals([response.status, await response.text()], [401, "no"]);
      }
    }
  } finally {
    client.close();
    await listener.close();
  }
});

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
