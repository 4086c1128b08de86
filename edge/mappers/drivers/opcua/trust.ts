/**
 * Whether a server is the one that is meant. The device names its certificate, or the one that
 * signed it (`serverCertificate`, also `remoteCertificate`); else the certificate it shows first is
 * kept, by its URL, and from then on it must show that one.
 */
import type { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import { join } from "@std/path";
import type { Clock } from "../../../../shared/clock.ts";
import { AppError } from "../../../../shared/errors.ts";
import { writeFileAtomic } from "../../../../shared/files.ts";
import { roomLogger } from "../../../../shared/log.ts";
import { sha256Hex } from "../../../../shared/wire/x509.ts";
import { textSetting } from "../../settings.ts";
import { parseCertificates, settingBytes } from "./pem.ts";

export interface TrustOptions {
  url: string;
  config: Readonly<Record<string, unknown>>;
  clock: Clock;
  /** Where first certificates are kept. */
  dir: string | undefined;
}

const log = roomLogger("mappers");

/** Throws AppError "unavailable" for a server that is not the one that is meant. */
export async function trustServer(shown: Buffer, options: TrustOptions): Promise<void> {
  const { url, config, clock, dir } = options;
  const [server] = parseCertificates("the server's certificate", shown);
  if (!server) return; // parseCertificates gives one at least
  const setting = textSetting(config["serverCertificate"] ?? config["remoteCertificate"]);
  if (setting !== undefined) {
    const bytes = await settingBytes("serverCertificate", setting);
    const trusted = parseCertificates("serverCertificate", bytes);
    if (!trusted.some((each) => vouchesFor(each, server, clock.nowMs()))) {
      throw distrust(url, server, "serverCertificate does not vouch for it");
    }
    return;
  }
  if (dir === undefined) throw distrust(url, server, "no serverCertificate is set");
  await trustFirst(server, url, dir);
}

async function trustFirst(server: X509Certificate, url: string, dir: string): Promise<void> {
  const id = await sha256Hex(new TextEncoder().encode(url));
  const file = join(dir, `${id.slice(0, 32)}.pem`);
  try {
    const [known] = parseCertificates(file, await settingBytes("trusted certificate", file));
    if (known?.fingerprint256 === server.fingerprint256) return;
    throw distrust(url, server, `it was another one before; remove ${file} if that is right`);
  } catch (error) {
    const isNew = error instanceof AppError && error.cause instanceof Deno.errors.NotFound;
    if (!isNew) throw error;
  }
  await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
  await writeFileAtomic(file, server.toString().trim() + "\n", 0o644);
  log.warn("OPC UA server is trusted from now on", {
    url,
    subject: server.subject,
    fingerprint: server.fingerprint256,
    file,
  });
}

/** A certificate vouches for itself whatever the time is; for others, while they are valid. */
function vouchesFor(trusted: X509Certificate, server: X509Certificate, nowMs: number): boolean {
  if (trusted.fingerprint256 === server.fingerprint256) return true;
  if (!trusted.ca || trusted.subject !== server.issuer) return false;
  if (nowMs < Date.parse(server.validFrom) || nowMs > Date.parse(server.validTo)) return false;
  return server.verify(trusted.publicKey);
}

function distrust(url: string, { fingerprint256 }: X509Certificate, why: string): AppError {
  const shown = fingerprint256.replaceAll(":", "").slice(0, 16).toLowerCase();
  const message = `OPC UA server ${url}: its certificate ${shown}… is not trusted: ${why}`;
  return new AppError("unavailable", message);
}
