/**
 * Puts the stamps of twins right that were made while the clock was wrong. The history knows which
 * they are: of each change it holds the version, so a twin is corrected where that very version
 * still stands.
 */
import type { Store } from "../../shared/store/port.ts";
import type { Batch } from "./batch.ts";
import { type HistoryRow, historyStreams } from "./history_rows.ts";
import type { TwinManager } from "./manager.ts";
import type { Twin } from "./model.ts";

const SLICE_ROWS = 500;
/** Records looked at in one stream: beyond it the oldest stamps stay as they are. */
const SLICES_MAX = 200;

/** By property: the versions whose stamp is known, and where they belong. */
type Stamps = Map<string, { reported?: [number, number]; desired?: [number, number] }>;

export async function correctTwins(
  twins: TwinManager,
  store: Store,
  span: { from: number; to: number },
): Promise<void> {
  for (const stream of historyStreams()) {
    const devices = readSpan(twins, store, stream, span);
    await Promise.all([...devices].map(async ([key, stamps]) => {
      if (!twins.registry.byKey(key)) return;
      await twins.post(key, (batch) => correctIn(batch, stamps));
    }));
  }
}

function readSpan(
  twins: TwinManager,
  store: Store,
  stream: string,
  { from, to }: { from: number; to: number },
): Map<string, Stamps> {
  const devices = new Map<string, Stamps>();
  let after = from - 1;
  for (let slices = 0; slices < SLICES_MAX; slices++) {
    const slice = store.bulk.read<HistoryRow[]>(stream, { after, limit: SLICE_ROWS });
    for (const { id, key, upMs, atMs, value } of slice) {
      after = id;
      if (id >= to) return devices;
      const stamps = devices.get(key) ?? new Map();
      devices.set(key, stamps);
      for (const row of value) note(stamps, row, twins.pastOf.stamps.correct(id, upMs, atMs));
    }
    if (slice.length < SLICE_ROWS) break;
  }
  return devices;
}

function note(stamps: Stamps, row: HistoryRow, atMs: number): void {
  if (row[0] !== 0 && row[0] !== 1) return;
  const [kind, property, , version] = row;
  const field = kind === 0 ? "reported" : "desired";
  stamps.set(property, { ...stamps.get(property), [field]: [version, atMs] });
}

function correctIn(batch: Batch, stamps: Stamps): void {
  for (const [property, { reported, desired }] of stamps) {
    const twin = batch.facts.twin(property);
    const after: Twin = {
      ...twin,
      ...(reported && twin.reported?.version === reported[0]
        ? { reported: { ...twin.reported, atMs: reported[1] } }
        : {}),
      ...(desired && twin.desired?.version === desired[0]
        ? { desired: { ...twin.desired, atMs: desired[1] } }
        : {}),
    };
    batch.correct(property, after);
  }
}
