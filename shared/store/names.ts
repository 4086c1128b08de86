/**
 * File names in a store's folder. Sequences are padded, so that names sort as numbers. A snapshot's
 * name carries the start of its SHA-256: name and checksum become durable in one rename.
 */
export const LOCK_NAME = "lock";
export const TMP_SUFFIX = ".tmp";
export const SET_ASIDE_PREFIX = "damaged-";

/** The bulk file; SQLite keeps its write-ahead log beside it under this name and "-wal". */
export const BULK_NAME = "bulk.sqlite";

const pad = (sequence: number) => String(sequence).padStart(16, "0");

export function journalName(firstSequence: number): string {
  return `journal-${pad(firstSequence)}.cbor`;
}

export function snapshotName(sequence: number, digest: string): string {
  return `snapshot-${pad(sequence)}-${digest}.sqlite`;
}

export function parseJournalName(name: string): { firstSequence: number } | undefined {
  const match = /^journal-(\d{16})\.cbor$/.exec(name);
  return match ? { firstSequence: Number(match[1]) } : undefined;
}

export function parseSnapshotName(name: string): { sequence: number; digest: string } | undefined {
  const match = /^snapshot-(\d{16})-([0-9a-f]{32})\.sqlite$/.exec(name);
  return match ? { sequence: Number(match[1]), digest: match[2]! } : undefined;
}

/** The name a file had that was set aside. */
export function nameBeforeSetAside(name: string): string | undefined {
  return /^damaged-\d+-(.+)$/.exec(name)?.[1];
}

export async function contentDigest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return digestName(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

/** Half a SHA-256 in hex: 128 bits are far beyond what chance can match. */
export function digestName(sha256: Uint8Array): string {
  return Array.from(sha256.subarray(0, 16), (b) => b.toString(16).padStart(2, "0")).join("");
}
