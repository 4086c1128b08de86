/** The one rule that accepts desired state. Pure; no await, no clock, no store. */
import { type DesiredBatch, entryOf, type InventoryEntry } from "../../shared/wire/desired.ts";
import type { LedgerHead, Verdict } from "./port.ts";

/**
 * `digestAfter` is the digest of what the ledger would hold with `batch` applied. It decides beside
 * the generation: a batch that was computed against something else than what is held (a lost
 * one before it, another cloud) cannot yield the announced digest.
 */
export function judge(
  head: LedgerHead,
  batch: Pick<DesiredBatch, "cloudId" | "generation" | "digest">,
  digestAfter: string,
): Verdict {
  // generations of different clouds do not compare: a new one is judged by its digest alone
  if (batch.cloudId === head.cloudId) {
    if (batch.generation < head.generation) return { kind: "reject", reason: "stale" };
    if (batch.generation === head.generation) {
      return batch.digest === head.digest
        ? { kind: "unchanged" }
        : { kind: "reject", reason: "conflict" };
    }
  }
  return batch.digest === digestAfter ? { kind: "commit" } : { kind: "reject", reason: "conflict" };
}

/** The inventory with `batch` applied; deletes come after upserts. */
export function applyToInventory(
  held: ReadonlyMap<string, InventoryEntry>,
  batch: Pick<DesiredBatch, "upserts" | "deletes">,
): Map<string, InventoryEntry> {
  const after = new Map(held);
  for (const item of batch.upserts) after.set(item.key, entryOf(item));
  for (const key of batch.deletes) after.delete(key);
  return after;
}
