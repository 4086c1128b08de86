/** Pure: what must travel so that a node holds its projection, and in which pieces. */
import { encodeBody } from "../../shared/wire/codec.ts";
import type { DesiredItem, InventoryEntry } from "../../shared/wire/desired.ts";

export interface Step {
  upserts: DesiredItem[];
  /** Keys. */
  deletes: string[];
  /** The node will hold something else than the projection: what may have been lost here. */
  spares: boolean;
  /** Keys of what the node holds in another version, and keeps so. */
  kept: string[];
}

/** What a cloud with a damaged store leaves as it is at a node. */
export interface Spared {
  /** Held there, not to be found here. */
  absent(held: InventoryEntry): boolean;
  /** Another one is held there under the name of this one. */
  replaced(item: DesiredItem): boolean;
  /** A newer version of this same object is held there. */
  older(held: InventoryEntry, item: DesiredItem): boolean;
}

const NOTHING: Spared = { absent: () => false, replaced: () => false, older: () => false };

/** True when the node keeps what it has under the key of `item`. */
export function isKept(held: InventoryEntry, item: DesiredItem, spared: Spared): boolean {
  if (held.uid !== item.uid) return spared.replaced(item);
  return held.resourceVersion !== item.resourceVersion && spared.older(held, item);
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
 * object. What is spared is left with the node as it is.
 */
export function planStep(
  held: ReadonlyMap<string, InventoryEntry>,
  items: ReadonlyMap<string, DesiredItem>,
  spared = NOTHING,
): Step {
  const step: Step = { upserts: [], deletes: [], spares: false, kept: [] };
  for (const item of items.values()) {
    const had = held.get(item.key);
    if (had?.uid === item.uid && had.resourceVersion === item.resourceVersion) continue;
    if (!had || !isKept(had, item, spared)) step.upserts.push(item);
    else {
      step.spares = true;
      step.kept.push(item.key);
    }
  }
  for (const had of held.values()) {
    if (items.has(had.key)) continue;
    if (spared.absent(had)) step.spares = true;
    else step.deletes.push(had.key);
  }
  return step;
}

/** Room of an item besides its strings and object. */
const ITEM_OVERHEAD_BYTES = 16;

/**
 * Cuts a step into parts of about `bytesMax`, at least one, encoding as it goes, so that a large
 * step is never in memory twice. A part is larger than `bytesMax` only when it is one object that
 * is.
 */
export function* inParts(
  step: Pick<Step, "upserts" | "deletes">,
  bytesMax: number,
): Generator<StepPart, void, void> {
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
  for (const { key, uid, resourceVersion, revision } of items) {
    const entry = { key, uid, resourceVersion, ...(revision === undefined ? {} : { revision }) };
    held.set(key, entry);
  }
  return held;
}
