/** The payload of a journal frame: the commits of one batch, in order, as plain CBOR. Pure. */
import type { RawOp } from "./ops.ts";
import { decodeCbor, encodeCbor } from "./value_codec.ts";
import { AppError } from "../errors.ts";

export interface Batch {
  /** Sequence of the first commit; the others follow without a gap. */
  seq: number;
  commits: RawOp[][];
}

export function encodeBatch(batch: Batch): Uint8Array<ArrayBuffer> {
  return encodeCbor(batch);
}

/** Reads a payload whose checksum held; what it does not know is of a later version. */
export function decodeBatch(payload: Uint8Array): Batch {
  const batch = decodeCbor(payload);
  if (!isBatch(batch)) {
    throw new AppError("internal", "Cannot read journal: record is of a kind unknown here");
  }
  return batch;
}

function isBatch(value: unknown): value is Batch {
  return typeof value === "object" && value !== null && "seq" in value && "commits" in value &&
    Number.isSafeInteger(value.seq) && Array.isArray(value.commits) &&
    value.commits.every((commit) => Array.isArray(commit) && commit.every(isRawOp));
}

function isRawOp(op: unknown): op is RawOp {
  if (!Array.isArray(op) || typeof op[1] !== "string") return false;
  if (op[0] === 3) return Array.isArray(op[2]) && op[2].every(Number.isSafeInteger);
  if (typeof op[2] !== "string") return false;
  if (op[0] === 1) return true;
  if (!(op[3] instanceof Uint8Array)) return false;
  return op[0] === 0 ||
    op[0] === 2 && Number.isSafeInteger(op[4]) && Number.isSafeInteger(op[5]);
}
