/**
 * Seals what an earlier version, or one with another key, left in plain. Done once per key: a mark
 * in the store says with which. What cannot be written now is tried again at the next start.
 */
import { errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Store } from "../../shared/store/port.ts";
import { BUCKET, SECRET_PREFIXES } from "./buckets.ts";

const log = roomLogger("edge", "meta");

export async function sealSecrets(store: Store, keyId: string): Promise<void> {
  const mark = { bucket: BUCKET.sealing, key: "key" };
  if (store.get(mark.bucket, mark.key) === keyId) return;
  const rows = SECRET_PREFIXES.flatMap((prefix) => store.list(BUCKET.desired, { prefix }));
  try {
    await Promise.all(
      rows.map((row) => store.commit([{ op: "put", bucket: BUCKET.desired, ...row }])),
    );
    await store.commit([{ op: "put", ...mark, value: keyId }]);
    // two snapshots are kept, and the journal behind the older one: after these two nothing plain
    // is
    if (rows.length > 0) {
      await store.snapshot();
      await store.commit([{ op: "put", ...mark, value: keyId }]);
      await store.snapshot();
    }
    log.info("Secrets are sealed at rest", { secrets: rows.length });
  } catch (error) {
    log.warn("Secrets could not be sealed yet", { error: errorChain(error) });
  }
}
