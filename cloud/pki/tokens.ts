/**
 * The rules of join tokens, pure. A token is `skerry1.<hash>.<id>.<secret>`: the hash lets the node
 * check the authority before it trusts it, the id names the record, the secret (256 random bits)
 * proves possession. Only its SHA-256 is stored; it is too random to be guessed from that.
 */
import { AppError } from "../../shared/errors.ts";

const PREFIX = "skerry1";
const TOKEN = /^skerry1\.([A-Za-z0-9_-]{43})\.([a-z0-9]{10})\.([A-Za-z0-9_-]{43})$/;

export interface TokenParts {
  /** SHA-256 of the authority's certificate (DER), hex. */
  authorityHash: string;
  id: string;
  secret: string;
}

/** What is kept of a token, one file each. */
export interface TokenRecord {
  version: 1;
  id: string;
  /** SHA-256 of the secret, hex. */
  secretHash: string;
  /** Only this node may use it. */
  node?: string;
  createdAtMs: number;
  expiresAtMs: number;
  uses: number;
  usesLeft: number;
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

/** Throws, with the reason, unless the record allows `node` to spend a use now. */
export function checkUse(
  record: TokenRecord | undefined,
  use: { secretHash: string; node: string; nowMs: number },
): asserts record is TokenRecord {
  // one message for both, so that ids cannot be probed
  if (!record || !equalHex(record.secretHash, use.secretHash)) {
    throw new AppError("unauthenticated", "Unknown join token: it was never made, or was revoked");
  }
  if (use.nowMs >= record.expiresAtMs) {
    const at = new Date(record.expiresAtMs).toISOString();
    throw new AppError("unauthenticated", `Join token ${record.id} expired at ${at}`);
  }
  if (record.usesLeft <= 0) {
    const uses = record.uses === 1 ? "once" : `${record.uses} times`;
    throw new AppError(
      "unauthenticated",
      `Join token ${record.id} was already used (${uses}, as allowed)`,
    );
  }
  if (record.node !== undefined && record.node !== use.node) {
    throw new AppError(
      "forbidden",
      `Join token ${record.id} is bound to node ${record.node}, not ${use.node}`,
    );
  }
}

/** Reads a stored record; `file` names it in errors. */
export function parseRecord(text: string, file: string): TokenRecord {
  let value: Partial<TokenRecord> | null;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AppError("invalid", `Cannot read ${file}: not JSON`, { file }, { cause });
  }
  const numbers = [value?.createdAtMs, value?.expiresAtMs, value?.uses, value?.usesLeft];
  const sound = value?.version === 1 && typeof value.id === "string" &&
    typeof value.secretHash === "string" && numbers.every((n) => Number.isFinite(n)) &&
    (value.node === undefined || typeof value.node === "string");
  if (!sound) throw new AppError("invalid", `Cannot read ${file}: not a token record`, { file });
  return value as TokenRecord; // just shown field by field
}

/** Takes the same time wherever two strings of one length differ. */
export function equalHex(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
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
