/**
 * Travelling items by key, made once per stored version of an object: digesting is the costly part
 * of a projection, so a change of one pod must not digest its neighbours again. Bounded by what the
 * caches hold: `forget` is called for every object that is gone.
 */
import { createHash } from "node:crypto";
import type { KubeObject } from "../../shared/k8s/types.ts";
import type { DesiredItem } from "../../shared/wire/desired.ts";
import { canonicalJson } from "../../shared/json/json.ts";
import { travelForm, versionedPart } from "./project_node.ts";

/** 32 hex digits = 128 bits: no two contents meet by chance in the life of a fleet. */
const VERSION_DIGITS = 32;

export class TravelItems {
  readonly #made = new Map<string, { stored: string; item: DesiredItem }>();
  #digests = 0;

  /** How many digests were made so far; tests watch it. */
  get digests(): number {
    return this.#digests;
  }

  of(key: string, object: KubeObject): DesiredItem {
    const uid = object.metadata.uid ?? "";
    const stored = `${uid} ${object.metadata.resourceVersion ?? ""}`;
    const made = this.#made.get(key);
    if (made?.stored === stored) return made.item;
    const travelling = travelForm(key, object);
    const item = { key, uid, resourceVersion: this.#version(travelling), object: travelling };
    this.#made.set(key, { stored, item });
    return item;
  }

  forget(key: string): void {
    this.#made.delete(key);
  }

  #version(travelling: KubeObject): string {
    this.#digests++;
    const text = canonicalJson(versionedPart(travelling));
    return createHash("sha256").update(text).digest("hex").slice(0, VERSION_DIGITS);
  }
}
