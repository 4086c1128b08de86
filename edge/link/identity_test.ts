import { assertThrows } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import {
  exportPrivateKey,
  generateKeyPair,
  loadX509,
  SIGNATURE_ALGORITHM,
} from "../../shared/wire/x509.ts";
import { checkIdentity } from "./identity.ts";

/** A certificate of its own, or by `issuer`. */
async function certify(name: string, issuer?: CryptoKeyPair) {
  const x509 = await loadX509();
  const keys = await generateKeyPair();
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
