/**
 * The certificate library, loaded when it is first needed: an edge that is enrolled does not touch
 * it for most of a year, and memory is the scarce thing there. Also the few facts both sides share
 * about keys and names in certificates.
 */
import { installReflectMetadata } from "./reflect_metadata.ts";

/** The name every hub's certificate carries; nodes verify it whatever address they dial. */
export const HUB_SERVER_NAME = "hub.skerry.internal";

export const NODES_ORGANIZATION = "system:nodes";
export const NODE_USER_PREFIX = "system:node:";

export const KEY_ALGORITHM = { name: "ECDSA", namedCurve: "P-256" } as const;
export const SIGNATURE_ALGORITHM = { name: "ECDSA", hash: "SHA-256" } as const;

export type X509 = typeof import("@peculiar/x509");

export async function loadX509(): Promise<X509> {
  installReflectMetadata();
  return await import("@peculiar/x509");
}

export async function generateKeyPair(): Promise<CryptoKeyPair> {
  return await crypto.subtle.generateKey(KEY_ALGORITHM, true, ["sign", "verify"]);
}

/** PKCS#8 in PEM. */
export async function exportPrivateKey(key: CryptoKey): Promise<string> {
  const { PemConverter } = await loadX509();
  return PemConverter.encode(await crypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY") + "\n";
}

/** Lower-case hex of the SHA-256 of `bytes`. */
export async function sha256Hex(bytes: Uint8Array<ArrayBuffer> | ArrayBuffer): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (b) => b.toString(16).padStart(2, "0")).join("");
}

/** Both halves of a PKCS#8 key in PEM: the public one is in the private one's JWK. */
export async function importKeyPair(pem: string): Promise<CryptoKeyPair> {
  const { PemConverter } = await loadX509();
  const der = PemConverter.decodeFirst(pem);
  const privateKey = await crypto.subtle.importKey("pkcs8", der, KEY_ALGORITHM, true, ["sign"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", privateKey);
  const jwk = { kty, crv, x, y } as JsonWebKey; // exactly the public members
  const publicKey = await crypto.subtle.importKey("jwk", jwk, KEY_ALGORITHM, true, ["verify"]);
  return { privateKey, publicKey };
}

/** A PKCS#10 request in PEM that shows possession of `keys`. */
export async function createRequest(keys: CryptoKeyPair, commonName: string): Promise<string> {
  const x509 = await loadX509();
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: new x509.Name([{ CN: [commonName] }]).toString(),
    keys,
    signingAlgorithm: SIGNATURE_ALGORITHM,
  });
  return request.toString("pem");
}
