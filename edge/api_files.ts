/**
 * The local API's files in the data folder: the token that acts must show (`api-token`), and the
 * node's own small authority and server certificate for TLS on loopback (`pki/local-*`). Made where
 * they are missing; read and nothing else by the commands. Members of the group `skerry`, where
 * there is one, may read token and certificate and pass the folders, and no more.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { join } from "@std/path";
import { AppError } from "../shared/errors.ts";
import { writeFileAtomic } from "../shared/files.ts";
import { roomLogger } from "../shared/log.ts";
import type { Random } from "../shared/random.ts";
import {
  exportPrivateKey,
  generateKeyPair,
  importKeyPair,
  loadX509,
  SIGNATURE_ALGORITHM,
} from "../shared/wire/x509.ts";

const GROUP = "skerry";
const TOKEN_BYTES = 32;
/** Half of one we make: what is shorter, or cannot be sent, is what damage left of a token. */
const TOKEN = /^[\x21-\x7e]{32,}$/;
const CA_SUBJECT = "CN=skerry-edge-local";
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
/**
 * The key never leaves this machine, and its clock may be anywhere when the files are made: the
 * certificates hold from the beginning of time to RFC 5280's "no well-defined end".
 */
const NOT_BEFORE = new Date("1970-01-01T00:00:00Z");
const NOT_AFTER = new Date("9999-12-31T23:59:59Z");

const log = roomLogger("edge");

export interface LocalTls {
  /** PEM of the local authority, the server's certificate and its key. */
  authority: string;
  certificate: string;
  privateKey: string;
}

export function tokenFile(dataDir: string): string {
  return join(dataDir, "api-token");
}

/** Reads the token, making it where it is missing or no token any more. */
export async function openApiToken(dataDir: string, random: Random): Promise<string> {
  const file = tokenFile(dataDir);
  const gid = await skerryGroup();
  await admitGroup(dataDir, gid);
  const known = (await readIfPresent(file))?.trim();
  if (known !== undefined && TOKEN.test(known)) return known;
  if (known !== undefined) {
    log.warn("Token of the local API was damaged and is made anew", { file });
  }
  const fresh = Array.from(random.bytes(TOKEN_BYTES), (b) => b.toString(16).padStart(2, "0"));
  await writeFileAtomic(file, fresh.join("") + "\n", 0o600);
  await giveTo(file, gid, 0o640);
  return fresh.join("");
}

/** For commands: the token of a node that has run. */
export async function readApiToken(dataDir: string): Promise<string> {
  try {
    return (await Deno.readTextFile(tokenFile(dataDir))).trim();
  } catch (cause) {
    const who = `readable by root and the group ${GROUP}, there once skerry-edge has run`;
    throw new AppError("forbidden", `Cannot read ${tokenFile(dataDir)} (${who})`, {}, { cause });
  }
}

export async function readLocalAuthority(dataDir: string): Promise<string> {
  const file = join(dataDir, "pki", "local-ca.crt");
  try {
    return await Deno.readTextFile(file);
  } catch (cause) {
    throw new AppError("unavailable", `Cannot read ${file}`, {}, { cause });
  }
}

/**
 * Reads the certificates, making those that are missing, damaged or do not hold for all `names`. A
 * new authority is made only where the old one cannot sign: every kubeconfig holds it.
 */
export async function openLocalTls(
  dataDir: string,
  names: readonly string[],
  random: Random,
): Promise<LocalTls> {
  const dir = join(dataDir, "pki");
  const gid = await skerryGroup();
  await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
  await admitGroup(dir, gid);
  const file = (name: string) => join(dir, `local-${name}`);
  const [caKey, authority, privateKey, certificate] = await Promise.all(
    ["ca.key", "ca.crt", "server.key", "server.crt"].map((name) => readIfPresent(file(name))),
  );
  const isWhole = caKey && authority && privateKey && certificate;
  if (isWhole && holdsFor({ authority, certificate, privateKey }, names)) {
    return { authority, certificate, privateKey };
  }
  const canSign = caKey && authority && isAuthority(authority, caKey);
  if (!canSign && (caKey ?? authority) !== undefined) {
    const what = "Authority of the local API was damaged and is made anew: so must kubeconfigs be";
    log.warn(what, { file: file("ca.crt") });
  }
  const { caKey: madeKey, ...made } = await issue(
    canSign ? { key: caKey, authority } : undefined,
    names,
    random,
  );
  await writeFileAtomic(file("ca.key"), madeKey, 0o600);
  await writeFileAtomic(file("ca.crt"), made.authority, 0o644);
  await writeFileAtomic(file("server.key"), made.privateKey, 0o600);
  await writeFileAtomic(file("server.crt"), made.certificate, 0o644);
  return made;
}

function holdsFor(
  { certificate, privateKey, authority }: LocalTls,
  names: readonly string[],
): boolean {
  try {
    const parsed = new X509Certificate(certificate);
    const known = parsed.subjectAltName ?? "";
    const ours = new X509Certificate(authority);
    return names.every((name) => known.includes(name)) && parsed.verify(ours.publicKey) &&
      parsed.checkPrivateKey(createPrivateKey(privateKey)) && ours.verify(ours.publicKey);
  } catch {
    return false; // damaged: it is made anew
  }
}

function isAuthority(certificate: string, key: string): boolean {
  try {
    const parsed = new X509Certificate(certificate);
    return parsed.checkPrivateKey(createPrivateKey(key)) && parsed.verify(parsed.publicKey);
  } catch {
    return false; // as above
  }
}

async function issue(
  known: { key: string; authority: string } | undefined,
  names: readonly string[],
  random: Random,
): Promise<LocalTls & { caKey: string }> {
  const x509 = await loadX509();
  const caKeys = known ? await importKeyPair(known.key) : await generateKeyPair();
  const dates = { notBefore: NOT_BEFORE, notAfter: NOT_AFTER };
  const signed = { ...dates, signingAlgorithm: SIGNATURE_ALGORITHM };
  const usage = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;
  const authority = known?.authority ?? (await x509.X509CertificateGenerator.createSelfSigned({
        ...signed,
        name: CA_SUBJECT,
        keys: caKeys,
        serialNumber: serial(random),
        extensions: [
          new x509.BasicConstraintsExtension(true, 0, true),
          new x509.KeyUsagesExtension(usage, true),
          await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey),
        ],
      })).toString("pem") + "\n";
  const keys = await generateKeyPair();
  const certificate = await x509.X509CertificateGenerator.create({
    ...signed,
    subject: "CN=skerry-edge",
    issuer: CA_SUBJECT,
    publicKey: keys.publicKey,
    signingKey: caKeys.privateKey,
    serialNumber: serial(random),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([SERVER_AUTH]),
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isAddress(value) ? "ip" as const : "dns" as const, value })),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });
  return {
    authority,
    caKey: await exportPrivateKey(caKeys.privateKey),
    certificate: certificate.toString("pem") + "\n",
    privateKey: await exportPrivateKey(keys.privateKey),
  };
}

function isAddress(name: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(name) || name.includes(":");
}

/** Positive, and never short. */
function serial(random: Random): string {
  const bytes = random.bytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

async function readIfPresent(file: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(file);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw new AppError("unavailable", `Cannot read ${file}`, { file }, { cause });
  }
}

/** The group's number, where this machine has it. */
export async function skerryGroup(): Promise<number | undefined> {
  const groups = await readIfPresent("/etc/group").catch(() => undefined); // then there is none
  const line = groups?.split("\n").find((each) => each.startsWith(`${GROUP}:`));
  const gid = Number(line?.split(":")[2] ?? NaN);
  return Number.isInteger(gid) ? gid : undefined;
}

/** Lets the group pass a folder without listing it. */
async function admitGroup(dir: string, gid: number | undefined): Promise<void> {
  await giveTo(dir, gid, 0o710);
}

/** Only root may give files away; anybody else keeps them to himself. */
async function giveTo(path: string, gid: number | undefined, mode: number): Promise<void> {
  if (gid === undefined || Deno.uid() !== 0) return;
  await Deno.chown(path, null, gid);
  await Deno.chmod(path, mode);
}
