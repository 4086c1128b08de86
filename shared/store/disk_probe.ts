/**
 * Tries a disk again that refused a write, so that a store nobody writes to notices that all is
 * well again, and what stands in its health goes away by itself.
 */
import type { Clock } from "../clock.ts";
import type { Store } from "./port.ts";

const LOOK_MS = 10_000;

/** Runs until `signal` aborts. */
export async function probeDisk(
  store: Pick<Store, "bulk" | "commit" | "problem">,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await clock.sleep(LOOK_MS, signal);
    const kind = store.problem?.kind;
    const isBad = (kind !== undefined && kind !== "slow") || store.bulk.problem !== undefined;
    // an empty commit is written and synced like any other, and makes the bulk file try again;
    // what it meets is in `problem`
    if (isBad) await store.commit([]).catch(() => {});
  }
}
