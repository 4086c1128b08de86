/**
 * Brings the devices of the node in line with the ledger. What is unchanged is told by versions
 * alone and costs nothing; what changed is defined anew, and only what differs is written and told:
 * a definition to those who build devices of it, a desired value to those who bring it there.
 */
import type { Device } from "../../shared/k8s/devices.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import { roomLogger } from "../../shared/log.ts";
import type { InventoryEntry } from "../../shared/wire/desired.ts";
import { parseObjectKey, qualifiedResource } from "../../shared/wire/keys.ts";
import { decisionOnTwin } from "../../shared/wire/twin_edits.ts";
import type { Ledger } from "../meta/port.ts";
import type { Batch } from "./batch.ts";
import { decide } from "./decide.ts";
import { definitionDigest, type DeviceDefinition } from "./definition.ts";
import { staleTwins, type TwinManager } from "./manager.ts";
import type { TwinCommand } from "./model.ts";
import { type DeviceEntry, modelKeyOf } from "./registry.ts";
import { type DeviceRecord, DEVICES_BUCKET } from "./rows.ts";

const DEVICE_PREFIX = `${qualifiedResource(GVR.devices)}/`;
const MODEL_PREFIX = `${qualifiedResource(GVR.deviceModels)}/`;
/** Devices on their way to the disk at once: shares syncs, and bounds what is held meanwhile. */
const TOGETHER = 256;

const log = roomLogger("edge", "twins");

export interface TwinSyncOptions {
  manager: TwinManager;
  ledger: Pick<Ledger, "inventory" | "head">;
  nowMs: () => number;
  monotonicMs: () => number;
}

/** True when the ledger holds a device, or a model for one. */
export function holdsDevices(ledger: Pick<Ledger, "inventory">): boolean {
  return ledger.inventory().some(({ key }) => key.startsWith(DEVICE_PREFIX));
}

export class TwinSync {
  readonly #options: TwinSyncOptions;
  /** Versions of models as they were last seen. */
  readonly #models = new Map<string, string>();

  constructor(options: TwinSyncOptions) {
    this.#options = options;
  }

  /** Resolves when all that differs is on disk; throws the first failure after trying all. */
  async run(): Promise<void> {
    const { manager, ledger } = this.#options;
    const devices = new Map<string, InventoryEntry>();
    const models = new Map<string, string>();
    for (const entry of ledger.inventory()) {
      if (entry.key.startsWith(DEVICE_PREFIX)) {
        devices.set(entry.key.slice(DEVICE_PREFIX.length), entry);
      } else if (entry.key.startsWith(MODEL_PREFIX)) {
        models.set(entry.key, entry.resourceVersion);
      }
    }
    this.#noteModels(models);
    const failures: unknown[] = [];
    // where the ledger lost its memory, what is absent may still be desired
    if (ledger.head.cloudId !== "") {
      const gone = [...manager.registry.all()].filter(({ key }) => !devices.has(key));
      await inGroups(gone, failures, (entry) => this.#remove(entry));
    }
    const changed = [...devices].filter(([key, item]) => this.#isNews(key, item, models));
    await inGroups(changed, failures, ([key, item]) => this.#define(key, item, models));
    if (changed.length > 0) log.debug("Devices defined", { devices: changed.length });
    if (failures.length > 0) throw failures[0];
  }

  #noteModels(models: ReadonlyMap<string, string>): void {
    for (const [key, version] of this.#models) {
      if (models.get(key) !== version) this.#options.manager.registry.forgetRules(key);
    }
    for (const [key, version] of models) {
      if (this.#models.get(key) !== version) this.#options.manager.registry.forgetRules(key);
    }
    this.#models.clear();
    for (const [key, version] of models) this.#models.set(key, version);
  }

  #isNews(key: string, item: InventoryEntry, models: ReadonlyMap<string, string>): boolean {
    const entry = this.#options.manager.registry.byKey(key);
    const record = entry?.record;
    if (!entry || !record) return true;
    return record.uid !== item.uid || record.deviceVersion !== item.resourceVersion ||
      record.modelVersion !== modelVersion(models, entry.namespace, record.model);
  }

  async #remove(entry: DeviceEntry): Promise<void> {
    const { manager } = this.#options;
    await manager.post(entry.key, (batch) => {
      batch.removed = true;
      batch.note([4]);
      const rows = staleTwins(manager.registry, entry, () => false);
      batch.add([
        ...rows.map((row) => ({ op: "delete" as const, ...row })),
        { op: "delete", bucket: DEVICES_BUCKET, key: entry.key },
      ]);
      const { namespace, name } = entry;
      batch.changes.push({ kind: "removed", device: { namespace, name } });
    });
  }

  async #define(
    key: string,
    item: InventoryEntry,
    models: ReadonlyMap<string, string>,
  ): Promise<void> {
    const { manager, monotonicMs } = this.#options;
    const { namespace, name } = parseObjectKey(item.key);
    const known = manager.registry.byKey(key);
    if (known?.record && known.record.uid !== item.uid) await this.#remove(known);
    const entry = manager.registry.byKey(key) ??
      manager.registry.add({ namespace, name }, monotonicMs());
    try {
      await manager.post(key, (batch) => this.#defineIn(batch, item, models));
    } finally {
      // a device whose beginning could not be written is not there
      if (!entry.record) manager.registry.remove(entry);
    }
  }

  #defineIn(batch: Batch, item: InventoryEntry, models: ReadonlyMap<string, string>): void {
    const { registry } = this.#options.manager;
    const { entry } = batch;
    const definition = registry.define(entry);
    const device = registry.device(entry);
    if (!definition || !device) return; // gone again: the next look removes it
    const before = entry.record;
    const model = definition.model ?? "";
    batch.record = {
      uid: definition.uid || item.uid,
      digest: definitionDigest(definition),
      deviceVersion: item.resourceVersion,
      modelVersion: modelVersion(models, entry.namespace, model),
      life: before?.life ?? { state: "unknown", stateAtMs: this.#options.nowMs() },
      model,
      cycleMs: definition.cycleMs ?? 0,
      quiet: quietOf(definition),
      extra: extraOf(
        definition,
        (property) => registry.rules(entry, { model, extra: [] }, property) !== undefined,
      ),
    };
    this.#noteChange(batch, before, batch.record);
    this.#dropStale(batch, definition);
    this.#desire(batch, definition, device);
  }

  #noteChange(batch: Batch, before: DeviceRecord | undefined, now: DeviceRecord): void {
    const { namespace, name } = batch.entry;
    const device = { namespace, name };
    if (!before) {
      batch.note([3, now.uid]);
      batch.changes.push({ kind: "added", device });
    } else if (before.digest !== now.digest) {
      batch.changes.push({ kind: "updated", device });
      batch.mark(); // properties may have gone, or been made quiet
    }
  }

  #dropStale(batch: Batch, { properties }: DeviceDefinition): void {
    const names = new Set(properties.map(({ name }) => name));
    const { registry } = this.#options.manager;
    const rows = staleTwins(registry, batch.entry, (property) => names.has(property));
    if (rows.length === 0) return;
    batch.add(rows.map((row) => ({ op: "delete" as const, ...row })));
    batch.mark();
  }

  /** What the Device desires now, and what the cloud decided on edits of the site. */
  #desire(batch: Batch, { properties }: DeviceDefinition, device: Device): void {
    for (const { name: property, desired = null } of properties) {
      this.#decide(batch, { kind: "desire", property, desired });
      const { intent } = batch.facts.twin(property).desired ?? {};
      if (intent === undefined || !decisionOnTwin(device, property, intent)) continue;
      this.#decide(batch, { kind: "settle", property, intent, desired });
    }
  }

  /** What the cloud should not have let through is left alone, and said. */
  #decide(batch: Batch, command: TwinCommand): void {
    const { events, rejections } = decide(batch.facts, command, this.#options.nowMs());
    batch.apply(events);
    for (const { reason } of rejections) {
      log.warn("Desired value not taken", { device: batch.entry.key, reason });
    }
  }
}

function modelVersion(
  models: ReadonlyMap<string, string>,
  namespace: string,
  model: string,
): string {
  return model === "" ? "" : models.get(modelKeyOf(namespace, model)) ?? "";
}

function quietOf({ properties, stateToCloud }: DeviceDefinition): string[] {
  const quiet = properties.filter(({ toCloud }) => !toCloud).map(({ name }) => name);
  return stateToCloud ? quiet : [...quiet, ""];
}

function extraOf(
  { properties }: DeviceDefinition,
  isInModel: (property: string) => boolean,
): string[] {
  return properties.map(({ name }) => name).filter((name) => !isInModel(name));
}

async function inGroups<T>(
  items: readonly T[],
  failures: unknown[],
  act: (item: T) => Promise<void>,
): Promise<void> {
  for (let from = 0; from < items.length; from += TOGETHER) {
    const group = items.slice(from, from + TOGETHER);
    for (const result of await Promise.allSettled(group.map(act))) {
      if (result.status === "rejected") failures.push(result.reason);
    }
  }
}
