import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { SeededRandom } from "../../shared/random.ts";
import {
  exportPrivateKey,
  generateKeyPair,
  loadX509,
  SIGNATURE_ALGORITHM,
} from "../../shared/wire/x509.ts";
import type { Connection } from "./dial.ts";
import { checkIdentity, Identity } from "./identity.ts";

const NEVER = new AbortController().signal;

type Certified = Awaited<ReturnType<typeof certify>>;

/** A certificate for `keys` (fresh ones where none are given), by `issuer` or by itself. */
async function certify(name: string, issuer?: CryptoKeyPair, keys?: CryptoKeyPair) {
  const x509 = await loadX509();
  keys ??= await generateKeyPair();
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: "CN=authority",
    publicKey: keys.publicKey,
    signingKey: (issuer ?? keys).privateKey,
    signingAlgorithm: SIGNATURE_ALGORITHM,
  });
  return {
    keys,
    certificate: certificate.toString("pem"),
    privateKey: await exportPrivateKey(keys.privateKey),
  };
}

Deno.test("identity: a part that is damaged or foreign is named", async () => {
  const { keys, certificate: authority } = await certify("authority");
  const own = await certify("node", keys);
  const whole = { ...own, authority };
  checkIdentity(whole);
  const other = await certify("authority");
  const cases = [
    [{ certificate: "" }, "Cannot read the node's certificate pki/node.crt"],
    [{ privateKey: own.privateKey.slice(0, 100) }, "Cannot read the node's key pki/node.key"],
    [{ authority: authority.slice(0, 200) }, "Cannot read the node's authority pki/ca.crt"],
    [{ privateKey: other.privateKey }, "Cannot use the node's key pki/node.key: its certificate"],
    [{ authority: other.certificate }, "it is not by the authority pki/ca.crt"],
  ] as const;
  for (const [damage, message] of cases) {
    assertThrows(() => checkIdentity({ ...whole, ...damage }), AppError, message);
  }
});

async function renewing(answer: (own: Certified, authority: CryptoKeyPair) => Promise<string>) {
  const { keys, certificate: authority } = await certify("authority");
  const own = await certify("node", keys);
  const kept: string[] = [];
  const disk = { isFull: false };
  const keep = (certificate: string) => {
    if (disk.isFull) return Promise.reject(new Error("disk full"));
    return Promise.resolve(void kept.push(certificate));
  };
  const identity = new Identity({ ...own, authority }, keep, new SeededRandom(1));
  const renew = async () => ({ certificate: await answer(own, keys) });
  // nothing else is called
  const connection = { hub: { renew } } as unknown as Connection;
  return { own, identity, kept, disk, renew: () => identity.renew(connection, NEVER) };
}

Deno.test("identity: a renewed certificate that would lock the node out is not kept", async () => {
  const answers: [string, Parameters<typeof renewing>[0]][] = [
    ["Cannot read", () => Promise.resolve("garbage")],
    ["is for another", async (_own, keys) => (await certify("node", keys)).certificate],
    [
      "not by the authority",
      async (own) => (await certify("authority", own.keys, own.keys)).certificate,
    ],
  ];
  for (const [message, answer] of answers) {
    const { own, identity, kept, renew } = await renewing(answer);
    await assertRejects(renew, AppError, message);
    assertEquals([kept, identity.files.certificate], [[], own.certificate]);
  }
});

Deno.test("identity: a renewed certificate is used on a full disk, and kept later", async () => {
  const { own, identity, kept, disk, renew } = await renewing(
    async (own, keys) => (await certify("node", keys, own.keys)).certificate,
  );
  assert(identity.renewAtMs > 0);
  disk.isFull = true;
  await assertRejects(renew, Error, "disk full");
  assertNotEquals(identity.files.certificate, own.certificate);
  assertEquals([kept, identity.renewAtMs], [[], 0]);
  disk.isFull = false;
  await renew();
  assertEquals(kept, [identity.files.certificate]);
  assert(identity.renewAtMs > 0);
});
