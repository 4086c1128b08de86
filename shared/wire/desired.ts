/**
 * What a node must hold, as it travels down: items under a rising generation, and the digest by
 * which both sides find out cheaply whether they agree.
 */
import { createHash } from "node:crypto";
import type { KubeObject } from "../k8s/types.ts";

/** Identity and version of one held object; an inventory is a list of these. */
export interface InventoryEntry {
  key: string;
  uid: string;
  resourceVersion: string;
  /** Orders the versions of one uid: metadata.resourceVersion, where that is a number. */
  revision?: number;
}

export interface DesiredItem extends InventoryEntry {
  object: KubeObject;
}

/** The step from the base generation to `generation`; applied whole or not at all. */
export interface DesiredBatch {
  /** Identity of the cloud's store; generations of different clouds do not compare. */
  cloudId: string;
  generation: number;
  /** Digest of the inventory after this batch. */
  digest: string;
  upserts: DesiredItem[];
  /** Keys to drop. */
  deletes: string[];
}

/** `metadata.resourceVersion` as the number it is in our own store. */
export function revisionOf({ metadata }: KubeObject): number | undefined {
  const revision = Number(metadata.resourceVersion ?? "");
  return Number.isSafeInteger(revision) && revision > 0 ? revision : undefined;
}

export function entryOf({ key, uid, resourceVersion, object }: DesiredItem): InventoryEntry {
  const revision = revisionOf(object);
  return { key, uid, resourceVersion, ...(revision === undefined ? {} : { revision }) };
}

/** SHA-256 (hex) over the entries, sorted by key. An empty inventory has a digest too. */
export function inventoryDigest(entries: Iterable<InventoryEntry>): string {
  const lines = Array.from(entries, (e) => `${e.key} ${e.uid} ${e.resourceVersion}\n`).sort();
  const hash = createHash("sha256");
  for (const line of lines) hash.update(line);
  return hash.digest("hex");
}
