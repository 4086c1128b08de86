/**
 * The rules of join tokens, pure. Of the secret only its SHA-256 is stored: 256 random bits are not
 * guessed from that. The text a token has is in shared/wire/join_token.ts.
 */
import { AppError } from "../../shared/errors.ts";

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
