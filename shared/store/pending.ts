/** Commits that wait for the disk. */
import type { RawOp } from "./ops.ts";

export interface Pending {
  ops: RawOp[];
  bytes: number;
  resolve(sequence: number): void;
  reject(error: unknown): void;
}

export function appends(pending: Pending): boolean {
  return pending.ops.some((op) => op[0] === 2);
}

/** As many of the oldest commits as share a frame; at least one where there is one. */
export function batchLength(pending: readonly Pending[], bytesMax: number): number {
  let bytes = 0;
  let count = 0;
  for (const each of pending) {
    if (count > 0 && bytes + each.bytes > bytesMax) break;
    bytes += each.bytes;
    count++;
  }
  return count;
}
