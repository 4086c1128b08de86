/**
 * What this program shows an OPC UA server: the certificate and key the device names, or a
 * self-signed pair of this node, made when it is first needed and kept. Servers that trust by hand
 * are given `opcua/client.pem` of the data folder once.
 */
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { join } from "@std/path";
import { AppError, errorChain } from "../../../../shared/errors.ts";
import { writeFileAtomic } from "../../../../shared/files.ts";
import { roomLogger } from "../../../../shared/log.ts";
import { loadX509 } from "../../../../shared/wire/x509.ts";
import { badSetting, textSetting } from "../../settings.ts";
import { parseCertificates, parsePrivateKey, settingBytes } from "./pem.ts";

export interface Papers {
  /** DER, the own one first. */
  chain: readonly Buffer[];
  privateKeyPem: string;
  /** As the certificate names it; servers compare. */
  applicationUri: string;
}

const CERTIFICATE = "client.pem";
const KEY = "client-key.pem";
const ALGORITHM = {
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  publicExponent: new Uint8Array([1, 0, 1]),
  modulusLength: 2048,
} as const;
/** Whatever the node's clock says, which may be wrong when it is made. */
const NOT_BEFORE = "2020-01-01T00:00:00Z";
const NOT_AFTER = "2049-12-31T00:00:00Z";

const log = roomLogger("mappers");

/** Undefined when the device names neither. */
export async function namedPapers(
  config: Readonly<Record<string, unknown>>,
): Promise<Papers | undefined> {
  const certificate = textSetting(config["certificate"]);
  const privateKey = textSetting(config["privateKey"]);
  if (certificate === undefined && privateKey === undefined) return undefined;
  if (certificate === undefined) {
    throw badSetting("certificate", "set beside privateKey", certificate);
  }
  if (privateKey === undefined) {
    throw badSetting("privateKey", "set beside certificate", privateKey);
  }
  return papersOf(
    parseCertificates("certificate", await settingBytes("certificate", certificate)),
    parsePrivateKey("privateKey", await settingBytes("privateKey", privateKey)),
  );
}

/** The node's own, made when there is none that can be used. */
export async function ownPapers(dir: string, nodeId: string): Promise<Papers> {
  try {
    return papersOf(
      parseCertificates(CERTIFICATE, Buffer.from(await Deno.readFile(join(dir, CERTIFICATE)))),
      parsePrivateKey(KEY, Buffer.from(await Deno.readFile(join(dir, KEY)))),
    );
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      log.warn("OPC UA certificate is made anew", { dir, error: errorChain(error) });
    }
  }
  const made = await makePair(nodeId);
  await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
  // the certificate last: where it is, its key is
  await writeFileAtomic(join(dir, KEY), made.privateKeyPem, 0o600);
  await writeFileAtomic(join(dir, CERTIFICATE), made.certificatePem, 0o644);
  return papersOf(
    parseCertificates(CERTIFICATE, Buffer.from(made.certificatePem)),
    made.privateKeyPem,
  );
}

function papersOf(certificates: readonly X509Certificate[], privateKeyPem: string): Papers {
  const [own] = certificates;
  const pem = { format: "pem", type: "spki" } as const;
  const mine = createPublicKey(createPrivateKey(privateKeyPem)).export(pem);
  if (!own || own.publicKey.export(pem) !== mine) {
    throw new AppError("invalid", "Cannot use certificate: privateKey is not its key");
  }
  const applicationUri = /URI:([^,\s]+)/.exec(own.subjectAltName ?? "")?.[1];
  if (applicationUri === undefined) {
    throw new AppError("invalid", "Cannot use certificate: it names no application URI");
  }
  const chain = certificates.map(({ raw }) => Buffer.from(raw));
  return { chain, privateKeyPem, applicationUri };
}

async function makePair(nodeId: string) {
  const x509 = await loadX509();
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const { KeyUsageFlags: use } = x509;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    keys,
    name: `CN=Skerry, O=${nodeId.replaceAll(/[^\w.-]/g, "-")}`,
    notBefore: new Date(NOT_BEFORE),
    notAfter: new Date(NOT_AFTER),
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(
        use.digitalSignature | use.nonRepudiation | use.keyEncipherment | use.dataEncipherment |
          use.keyCertSign,
        true,
      ),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension([
        { type: "url", value: `urn:skerry:${nodeId.replaceAll(/[^\w.-]/g, "-")}` },
      ]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    certificatePem: certificate.toString("pem") + "\n",
    privateKeyPem: x509.PemConverter.encode(pkcs8, "PRIVATE KEY") + "\n",
  };
}
