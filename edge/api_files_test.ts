import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { SystemRandom } from "../shared/random.ts";
import { openApiToken, openLocalTls, readApiToken } from "./api_files.ts";

Deno.test("the token is made once, and is nobody else's to read", async () => {
  const dir = await Deno.makeTempDir();
  const token = await openApiToken(dir, new SystemRandom());
  assert(/^[0-9a-f]{64}$/.test(token));
  assertEquals(await openApiToken(dir, new SystemRandom()), token);
  assertEquals(await readApiToken(dir), token);
  assertEquals((await Deno.stat(`${dir}/api-token`)).mode! & 0o007, 0);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("the local certificate is made once, and anew for a name or after damage", async () => {
  const dir = await Deno.makeTempDir();
  const open = (...names: string[]) => openLocalTls(dir, names, new SystemRandom());
  const first = await open("localhost", "127.0.0.1");
  const authority = new X509Certificate(first.authority);
  const server = new X509Certificate(first.certificate);
  assert(server.verify(authority.publicKey));
  assertEquals(server.checkHost("localhost"), "localhost");
  assertEquals(server.checkIP("127.0.0.1"), "127.0.0.1");
  assertEquals(Date.parse(server.validFrom), 0);
  assertEquals(await open("localhost", "127.0.0.1"), first);
  const more = await open("localhost", "127.0.0.1", "edge.example");
  assertNotEquals(more.certificate, first.certificate);
  assertEquals(more.authority, first.authority);
  await Deno.writeTextFile(`${dir}/pki/local-server.crt`, "not a certificate");
  assert(new X509Certificate((await open("localhost")).certificate).checkHost("localhost"));
  await Deno.remove(dir, { recursive: true });
});

Deno.test("what damage left of a token is no token", async () => {
  const dir = await Deno.makeTempDir();
  const token = await openApiToken(dir, new SystemRandom());
  for (const left of ["", token.slice(0, 8), `${token.slice(0, 40)} ${token.slice(41)}`, "\0"]) {
    await Deno.writeTextFile(`${dir}/api-token`, left);
    const made = await openApiToken(dir, new SystemRandom());
    assertMatch(made, /^[0-9a-f]{64}$/);
    assertNotEquals(made, token);
    assertEquals(await readApiToken(dir), made);
  }
  await Deno.remove(dir, { recursive: true });
});

for (const name of ["ca.key", "ca.crt", "server.key", "server.crt"]) {
  Deno.test(`the local API serves TLS again after damage to local-${name}`, async () => {
    const dir = await Deno.makeTempDir();
    const open = () => openLocalTls(dir, ["localhost"], new SystemRandom());
    const first = await open();
    const file = `${dir}/pki/local-${name}`;
    const text = await Deno.readTextFile(file);
    const at = Math.floor(text.length / 2);
    const flipped = text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
    for (const left of ["", text.slice(0, at), flipped, undefined]) {
      if (left === undefined) await Deno.remove(file);
      else await Deno.writeTextFile(file, left);
      const { authority, certificate, privateKey } = await open();
      const server = new X509Certificate(certificate);
      assert(server.verify(new X509Certificate(authority).publicKey));
      assert(server.checkPrivateKey(createPrivateKey(privateKey)));
      assertEquals(await open(), { authority, certificate, privateKey });
      if (name.startsWith("server")) assertEquals(authority, first.authority);
    }
    await Deno.remove(dir, { recursive: true });
  });
}
