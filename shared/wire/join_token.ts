/**
 * The text of a join token, `skerry1.<hash>.<id>.<secret>`: the hash lets the node check the
 * authority before it trusts it, the id names the record in the cloud, the secret (256 random
 * bits) proves possession.
 */
import { AppError } from "../errors.ts";

const PREFIX = "skerry1";
const TOKEN = /^skerry1\.([A-Za-z0-9_-]{43})\.([a-z0-9]{10})\.([A-Za-z0-9_-]{43})$/;

export interface TokenParts {
  /** SHA-256 of the authority's certificate (DER), hex. */
  authorityHash: string;
  id: string;
  secret: string;
}

export function formatToken(parts: TokenParts): string {
  return [PREFIX, hexToBase64Url(parts.authorityHash), parts.id, parts.secret].join(".");
}

export function parseToken(token: string): TokenParts {
  const match = TOKEN.exec(token.trim());
  if (!match) {
    throw new AppError(
      "invalid",
      "Malformed join token: must be skerry1.<hash>.<id>.<secret>, as `token create` prints it",
    );
  }
  const [, hash, id, secret] = match;
  return { authorityHash: base64UrlToHex(hash!), id: id!, secret: secret! };
}

export function toBase64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_")
    .replaceAll("=", "");
}

function hexToBase64Url(hex: string): string {
  return toBase64Url(Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16)));
}

function base64UrlToHex(text: string): string {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Array.from(binary, (c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join("");
}
