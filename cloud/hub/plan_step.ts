/** Pure: what must travel so that a node holds its projection, and in which pieces. */
import { encodeBody } from "../../shared/wire/codec.ts";
import type { DesiredItem, InventoryEntry } from "../../shared/wire/desired.ts";

export interface Step {
  upserts: DesiredItem[];
  /** Keys. */
  deletes: string[];
}

export interface EncodedItem extends InventoryEntry {
  /** CBOR */
  object: Uint8Array<ArrayBuffer>;
}

export interface StepPart {
  upserts: EncodedItem[];
  deletes: string[];
  /** Another part follows. */
  more: boolean;
  bytes: number;
}

/**
 * The difference between what a node holds and what it must hold. Same uid and version: same
 * object. What `isSpared` names is left with the node although nothing here says it must hold it.
 */
export function planStep(
  held: ReadonlyMap<string, InventoryEntry>,
  items: ReadonlyMap<string, DesiredItem>,
  isSpared: (key: string) => boolean = () => false,
): Step {
  const upserts = [...items.values()].filter((item) => {
    const had = held.get(item.key);
    return had?.uid !== item.uid || had.resourceVersion !== item.resourceVersion;
  });
  const deletes = [...held.keys()].filter((key) => !items.has(key) && !isSpared(key));
  return { upserts, deletes };
}

/** Room of an item besides its strings and object. */
const ITEM_OVERHEAD_BYTES = 16;

/**
 * Cuts a step into parts of about `bytesMax`, at least one, encoding as it goes, so that a large
 * step is never in memory twice. A part is larger than `bytesMax` only when it is one object that
 * is.
 */
export function* inParts(step: Step, bytesMax: number): Generator<StepPart, void, void> {
  let part: StepPart = { upserts: [], deletes: [], more: false, bytes: 0 };
  const full = (bytes: number) => part.bytes > 0 && part.bytes + bytes > bytesMax;
  const cut = (): StepPart => {
    const done = { ...part, more: true };
    part = { upserts: [], deletes: [], more: false, bytes: 0 };
    return done;
  };
  for (const key of step.deletes) {
    const bytes = key.length + ITEM_OVERHEAD_BYTES;
    if (full(bytes)) yield cut();
    part.deletes.push(key);
    part.bytes += bytes;
  }
  for (const { key, uid, resourceVersion, object } of step.upserts) {
    const body = encodeBody(object);
    const bytes = body.byteLength + key.length + uid.length + resourceVersion.length +
      ITEM_OVERHEAD_BYTES;
    if (full(bytes)) yield cut();
    part.upserts.push({ key, uid, resourceVersion, object: body });
    part.bytes += bytes;
  }
  yield part;
}

/** What of a map of items an inventory would say. */
export function toInventory(
  items: Iterable<InventoryEntry>,
): Map<string, InventoryEntry> {
  const held = new Map<string, InventoryEntry>();
  for (const { key, uid, resourceVersion } of items) held.set(key, { key, uid, resourceVersion });
  return held;
}
