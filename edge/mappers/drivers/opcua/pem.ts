/** Certificates and keys as settings give them: a file of the node, or PEM right there. */
import { Buffer } from "node:buffer";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { AppError } from "../../../../shared/errors.ts";

const PEM = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
const FILE_BYTES_MAX = 256 * 1024;
const CERTIFICATES_MAX = 32;

/** The bytes of a file on this node, or of PEM. `key` is the setting's name, for errors. */
export async function settingBytes(key: string, value: string): Promise<Buffer> {
  if (value.startsWith("-----BEGIN ")) return Buffer.from(value);
  try {
    const { size } = await Deno.stat(value);
    if (size > FILE_BYTES_MAX) {
      throw new AppError("invalid", `file must be <= ${FILE_BYTES_MAX} bytes, got ${size}`);
    }
    return Buffer.from(await Deno.readFile(value));
  } catch (cause) {
    throw new AppError("invalid", `Cannot read ${key} ${value.slice(0, 200)}`, {}, { cause });
  }
}

/** All certificates of PEM, or the one of DER. What the bytes are is never said. */
export function parseCertificates(key: string, bytes: Buffer): X509Certificate[] {
  try {
    const text = bytes.toString("latin1");
    const found = text.includes("-----BEGIN ") ? text.match(PEM) ?? [] : [bytes];
    const certificates = found.slice(0, CERTIFICATES_MAX).map((each) => new X509Certificate(each));
    if (certificates.length > 0) return certificates;
  } catch {
    // said below, for all that is no certificate
  }
  throw new AppError("invalid", `Cannot use ${key}: it holds no certificate`);
}

/** PKCS#8 in PEM, of PEM or DER. */
export function parsePrivateKey(key: string, bytes: Buffer): string {
  const isPem = bytes.subarray(0, 11).toString("latin1") === "-----BEGIN ";
  try {
    const parsed = isPem
      ? createPrivateKey(bytes)
      : createPrivateKey({ key: bytes, format: "der", type: "pkcs8" });
    if (parsed.asymmetricKeyType === "rsa") {
      return parsed.export({ format: "pem", type: "pkcs8" }).toString();
    }
  } catch {
    // said below
  }
  throw new AppError("invalid", `Cannot use ${key}: it must be an RSA key without a password`);
}
