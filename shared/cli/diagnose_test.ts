import { assertEquals, assertStringIncludes } from "@std/assert";
import { certificateLook, clockLook, dialLook, diskLook, examine, storeLook } from "./diagnose.ts";

/** Made for this test: CN=test, 2026-01-01 to 2027-01-01, with a key nobody has. */
async function selfSigned(): Promise<string> {
  const { loadX509, generateKeyPair, SIGNATURE_ALGORITHM } = await import("../wire/x509.ts");
  const x509 = await loadX509();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=test",
    keys: await generateKeyPair(),
    serialNumber: "01",
    notBefore: new Date("2026-01-01T00:00:00Z"),
    notAfter: new Date("2027-01-01T00:00:00Z"),
    signingAlgorithm: SIGNATURE_ALGORITHM,
  });
  return certificate.toString("pem");
}

async function inTemporaryFolder(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("certificateLook() judges dates and signer", () =>
  inTemporaryFolder(async (dir) => {
    const [certificate, authority] = [`${dir}/a.crt`, `${dir}/b.crt`];
    await Deno.writeTextFile(certificate, await selfSigned());
    await Deno.writeTextFile(authority, await selfSigned());
    const at = async (time: string) =>
      (await certificateLook({ certificate }, Date.parse(time))()).message.split("; ")[1];
    assertEquals(await at("2026-06-01T00:00:00Z"), undefined);
    assertStringIncludes(await at("2025-06-01T00:00:00Z") ?? "", "not valid yet");
    assertStringIncludes(await at("2026-12-30T00:00:00Z") ?? "", "soon");
    assertStringIncludes(await at("2027-06-01T00:00:00Z") ?? "", "has run out");
    const now = Date.parse("2026-06-01T00:00:00Z");
    assertEquals((await certificateLook({ certificate, authority }, now)()).ok, false);
  }));

Deno.test("storeLook() names what was set aside", () =>
  inTemporaryFolder(async (dir) => {
    await Deno.writeTextFile(`${dir}/journal-0000000000000001.cbor`, "");
    assertEquals((await storeLook(dir)()).ok, true);
    await Deno.writeTextFile(`${dir}/damaged-000001-journal-0000000000000001.cbor`, "");
    const { ok, message } = await storeLook(dir)();
    assertEquals(ok, false);
    assertStringIncludes(message, "damaged-000001");
  }));

Deno.test("clockLook() sees a clock that lost its time or went back", () =>
  inTemporaryFolder(async (dir) => {
    const now = Date.parse("2026-06-01T00:00:00Z");
    assertEquals((await clockLook(now, dir)()).ok, true);
    assertEquals((await clockLook(0, dir)()).ok, false);
    await Deno.writeTextFile(`${dir}/later`, "");
    await Deno.utime(`${dir}/later`, new Date(now), new Date(now + 3_600_000));
    assertStringIncludes((await clockLook(now, dir)()).message, "later was written");
  }));

Deno.test("dialLook() and diskLook() tell what is there", () =>
  inTemporaryFolder(async (dir) => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const address = `127.0.0.1:${(listener.addr as Deno.NetAddr).port}`; // it listens on TCP
    assertEquals((await dialLook(["127.0.0.1:1", address])()).ok, true);
    listener.close();
    assertEquals((await dialLook(["127.0.0.1:1"])()).ok, false);
    assertStringIncludes((await diskLook(dir)()).message, "MiB");
    assertEquals(await Array.fromAsync(Deno.readDir(dir)), []);
  }));

Deno.test("examine() takes a look that fails for a finding", async () => {
  const findings = await examine({
    well: () => Promise.resolve({ ok: true, message: "fine" }),
    broken: () => Promise.reject(new Error("no such thing")),
  });
  assertEquals(findings.map(({ name, ok, message }) => [name, ok, message]), [
    ["well", true, "fine"],
    ["broken", false, "no such thing"],
  ]);
});
