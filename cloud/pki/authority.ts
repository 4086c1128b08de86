/**
 * The fleet's certificate authority: one ECDSA P-256 key and certificate under `<data-dir>/pki`.
 * Made where both files are missing, never overwritten; anything unreadable is an error that names
 * the file, because a new authority would lock out every node.
 */
import { join } from "@std/path";
import type { Clock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import {
  exportPrivateKey,
  generateKeyPair,
  importKeyPair,
  loadX509,
  sha256Hex,
  SIGNATURE_ALGORITHM,
} from "../../shared/wire/x509.ts";
import { createFile, makeSecretDir, readIfPresent } from "./files.ts";
import { CLOCK_SKEW_MS, randomSerial } from "./profiles.ts";

const CA_SUBJECT = "O=Skerry, CN=skerry-ca";
/** Ten years: the authority outlives the machines; node certificates rotate under it. */
const CA_LIFETIME_MS = 3_653 * 86_400_000;

const log = roomLogger("cloud", "pki");

export interface Authority {
  /** PEM of the certificate. */
  readonly certificate: string;
  readonly certificateDer: Uint8Array<ArrayBuffer>;
  readonly publicKey: CryptoKey;
  readonly privateKey: CryptoKey;
  readonly subject: string;
  /** SHA-256 of the certificate's DER, hex: what join tokens carry. */
  readonly hash: string;
  readonly notAfterMs: number;
}

export interface AuthorityOptions {
  /** `<data-dir>/pki` */
  dir: string;
  clock: Clock;
  random: Random;
}

/** Reads the authority, or makes it where there is none. */
export async function openAuthority(options: AuthorityOptions): Promise<Authority> {
  const keyFile = join(options.dir, "ca.key");
  const certificateFile = join(options.dir, "ca.crt");
  await makeSecretDir(options.dir);
  let key = await readIfPresent(keyFile);
  let certificate = await readIfPresent(certificateFile);
  if (key === undefined && certificate !== undefined) {
    throw new AppError("invalid", `Cannot use ${certificateFile}: its key ${keyFile} is missing`);
  }
  if (key === undefined) {
    const pair = await generateKeyPair();
    // false: another process made it meanwhile, and that one holds
    await createFile(keyFile, await exportPrivateKey(pair.privateKey), options.random);
    key = await readIfPresent(keyFile) ?? "";
  }
  const keys = await importKeys(key, keyFile);
  if (certificate === undefined) {
    const made = await selfSign(keys, options);
    if (await createFile(certificateFile, made, options.random)) {
      log.info("Made a certificate authority", { file: certificateFile });
    }
    certificate = await readIfPresent(certificateFile) ?? "";
  }
  return await parseAuthority(certificate, certificateFile, keys);
}

async function selfSign(keys: CryptoKeyPair, { clock, random }: AuthorityOptions): Promise<string> {
  const x509 = await loadX509();
  const now = clock.nowMs();
  const usage = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: CA_SUBJECT,
    keys,
    serialNumber: randomSerial(random),
    notBefore: new Date(now - CLOCK_SKEW_MS),
    notAfter: new Date(now + CA_LIFETIME_MS),
    signingAlgorithm: SIGNATURE_ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(usage, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return certificate.toString("pem") + "\n";
}

async function importKeys(pem: string, file: string): Promise<CryptoKeyPair> {
  try {
    return await importKeyPair(pem);
  } catch (cause) {
    const message = `Cannot read ${file}: not an ECDSA P-256 key in PEM`;
    throw new AppError("invalid", message, { file }, { cause });
  }
}

async function parseAuthority(
  pem: string,
  file: string,
  keys: CryptoKeyPair,
): Promise<Authority> {
  const x509 = await loadX509();
  let parsed;
  let verified = false;
  try {
    parsed = new x509.X509Certificate(pem);
    verified = await parsed.verify({ publicKey: keys.publicKey, signatureOnly: true });
  } catch (cause) {
    const message = `Cannot read ${file}: not a certificate in PEM`;
    throw new AppError("invalid", message, { file }, { cause });
  }
  if (!verified) {
    throw new AppError("invalid", `Cannot use ${file}: it does not belong to the key beside it`);
  }
  const certificateDer = new Uint8Array(parsed.rawData);
  return {
    certificate: parsed.toString("pem") + "\n",
    certificateDer,
    publicKey: keys.publicKey,
    privateKey: keys.privateKey,
    subject: parsed.subject,
    hash: await sha256Hex(certificateDer),
    notAfterMs: parsed.notAfter.getTime(),
  };
}
