/**
 * What the node holds, with resourceVersions of its own: objects here change by what the node does
 * (status) while the cloud's versions stand still, so a local counter marks changes. The view is
 * brought up to date when somebody looks, by comparing content; nothing runs while nobody does.
 */
import { createHash } from "node:crypto";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import type { LocalResource } from "./resources.ts";

export interface ViewEntry {
  object: KubeObject;
  version: number;
}

export interface ViewChange {
  type: "ADDED" | "MODIFIED" | "DELETED";
  entry: ViewEntry;
}

export class ResourceView {
  readonly #resource: LocalResource;
  #entries = new Map<string, ViewEntry & { content: string }>();
  #version = 1;

  constructor(resource: LocalResource) {
    this.#resource = resource;
  }

  get version(): number {
    return this.#version;
  }

  /** Objects in key order, each carrying its local resourceVersion. */
  entries(): ViewEntry[] {
    this.#refresh();
    return [...this.#entries.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, e]) => e);
  }

  /** What changed between `known` (key → version, as this function left it) and now. */
  changesSince(known: Map<string, ViewEntry>): ViewChange[] {
    this.#refresh();
    const changes: ViewChange[] = [];
    for (const [key, before] of known) {
      if (this.#entries.has(key)) continue;
      const entry = { object: stamped(before.object, this.#version), version: this.#version };
      changes.push({ type: "DELETED", entry });
      known.delete(key);
    }
    for (const [key, entry] of this.#entries) {
      const before = known.get(key);
      if (before?.version === entry.version) continue;
      const replaced = before && before.object.metadata.uid !== entry.object.metadata.uid;
      if (replaced) changes.push({ type: "DELETED", entry: before });
      changes.push({ type: before && !replaced ? "MODIFIED" : "ADDED", entry });
      known.set(key, entry);
    }
    return changes;
  }

  #refresh(): void {
    const next = new Map<string, ViewEntry & { content: string }>();
    let changed = false;
    for (const object of this.#resource.list()) {
      const key = `${object.metadata.namespace ?? ""}/${object.metadata.name ?? ""}`;
      const content = fingerprint(JSON.stringify(object));
      const before = this.#entries.get(key);
      if (before?.content === content) {
        next.set(key, before);
        continue;
      }
      changed = true;
      const version = this.#version + 1;
      next.set(key, { object: stamped(object, version), version, content });
    }
    if (!changed && next.size === this.#entries.size) return;
    this.#version++;
    this.#entries = next;
  }
}

function stamped(object: KubeObject, version: number): KubeObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
}

/** What tells one content from another; the content itself would be held twice. */
function fingerprint(text: string): string {
  return createHash("sha256").update(text).digest("base64");
}
