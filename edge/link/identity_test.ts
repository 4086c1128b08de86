import { assertThrows } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import {
  exportPrivateKey,
  generateKeyPair,
  loadX509,
  SIGNATURE_ALGORITHM,
} from "../../shared/wire/x509.ts";
import { checkIdentity } from "./identity.ts";

async function selfSigned(name: string) {
  const x509 = await loadX509();
  const keys = await generateKeyPair();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: SIGNATURE_ALGORITHM,
  });
  return {
    certificate: certificate.toString("pem"),
    privateKey: await exportPrivateKey(keys.privateKey),
  };
}

Deno.test("identity: a part that is damaged or foreign is named", async () => {
  const own = await selfSigned("node");
  const authority = (await selfSigned("authority")).certificate;
  const whole = { ...own, authority };
  checkIdentity(whole);
  const other = (await selfSigned("other")).privateKey;
  const cases = [
    [{ certificate: "" }, "Cannot read the node's certificate"],
    [{ privateKey: own.privateKey.slice(0, 100) }, "Cannot read the node's key"],
    [{ authority: authority.slice(0, 200) }, "Cannot read the node's certificate of the cloud's"],
    [{ privateKey: other }, "Cannot use the node's key: its certificate is for another"],
  ] as const;
  for (const [damage, message] of cases) {
    assertThrows(() => checkIdentity({ ...whole, ...damage }), AppError, message);
  }
});
