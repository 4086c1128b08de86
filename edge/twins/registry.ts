/**
 * The devices of this node in memory: what a command needs at once, some hundred bytes each. Twins
 * stay in the store and are read when they are looked at, so that ten thousand devices cost a few
 * megabytes here. Rules are kept per model, not per device.
 */
import type { Device, DeviceModel } from "../../shared/k8s/devices.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Store } from "../../shared/store/port.ts";
import { objectKey } from "../../shared/wire/keys.ts";
import type { Ledger } from "../meta/port.ts";
import { defineDevice, type DeviceDefinition, rulesOf } from "./definition.ts";
import { type DeviceName, EMPTY_TWIN, type PropertyRules, type Twin } from "./model.ts";
import {
  decodeDevice,
  decodeTwin,
  deviceKey,
  type DeviceRecord,
  type DeviceRow,
  DEVICES_BUCKET,
  twinKey,
  type TwinRow,
  TWINS_BUCKET,
} from "./rows.ts";

export interface DeviceEntry extends DeviceName {
  readonly key: string;
  /** Undefined until its definition is on disk. */
  record: DeviceRecord | undefined;
  /** Monotonic time of its last word, or of when we began to wait for one. */
  seenMonotonicMs: number;
  /** It has said something in this run of the program. */
  heard: boolean;
  /** Monotonic time at which it last said that it is offline; a word of being there ends it. */
  offlineSaidMonotonicMs?: number | undefined;
}

const ANY_TEXT: PropertyRules = { type: "STRING", readOnly: false };

export class Registry {
  readonly #store: Store;
  readonly #ledger: Pick<Ledger, "get">;
  readonly #entries = new Map<string, DeviceEntry>();
  /** Rules by model key, as long as the model stays as it is. */
  readonly #rules = new Map<string, ReadonlyMap<string, PropertyRules>>();
  #sorted: string[] | undefined;

  constructor(options: { store: Store; ledger: Pick<Ledger, "get">; monotonicMs: number }) {
    this.#store = options.store;
    this.#ledger = options.ledger;
    for (const { key, value } of options.store.list<DeviceRow>(DEVICES_BUCKET)) {
      const slash = key.indexOf("/");
      const name = { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
      const entry = newEntry(name, options.monotonicMs);
      entry.record = decodeDevice(value);
      this.#entries.set(key, entry);
    }
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Also one whose definition is on its way. */
  find(device: DeviceName): DeviceEntry | undefined {
    return this.#entries.get(deviceKey(device));
  }

  all(): Iterable<DeviceEntry> {
    return this.#entries.values();
  }

  /** Keys in order. */
  keys(): readonly string[] {
    return this.#sorted ??= [...this.#entries.keys()].sort();
  }

  byKey(key: string): DeviceEntry | undefined {
    return this.#entries.get(key);
  }

  add(device: DeviceName, monotonicMs: number): DeviceEntry {
    const entry = newEntry(device, monotonicMs);
    this.#entries.set(entry.key, entry);
    this.#sorted = undefined;
    return entry;
  }

  remove(entry: DeviceEntry): void {
    if (this.#entries.get(entry.key) !== entry) return;
    this.#entries.delete(entry.key);
    this.#sorted = undefined;
  }

  twin({ key }: DeviceEntry, property: string): Twin {
    const row = this.#store.get<TwinRow>(TWINS_BUCKET, twinKey(key, property));
    return row ? decodeTwin(row) : EMPTY_TWIN;
  }

  /** Those something is known of, by property. */
  twins({ key }: DeviceEntry): Map<string, Twin> {
    const prefix = `${key}/`;
    const rows = this.#store.list<TwinRow>(TWINS_BUCKET, { prefix });
    return new Map(
      rows.map(({ key: row, value }) => [row.slice(prefix.length), decodeTwin(value)]),
    );
  }

  rules(
    { namespace }: DeviceName,
    { model, extra }: Pick<DeviceRecord, "model" | "extra">,
    property: string,
  ): PropertyRules | undefined {
    const known = model === "" ? undefined : this.#rulesOf(namespace, model).get(property);
    return known ?? (extra.includes(property) ? ANY_TEXT : undefined);
  }

  /** From the ledger; undefined when it does not hold the device. */
  define({ namespace, name }: DeviceName): DeviceDefinition | undefined {
    const device = this.device({ namespace, name });
    if (!device) return undefined;
    const model = device.spec?.deviceModelRef?.name;
    return defineDevice(
      device,
      model === undefined ? undefined : this.#ledger.get<DeviceModel>(modelKeyOf(namespace, model)),
    );
  }

  device({ namespace, name }: DeviceName): Device | undefined {
    return this.#ledger.get<Device>(objectKey(GVR.devices, namespace, name));
  }

  forgetRules(modelKey: string): void {
    this.#rules.delete(modelKey);
  }

  #rulesOf(namespace: string, model: string): ReadonlyMap<string, PropertyRules> {
    const key = modelKeyOf(namespace, model);
    const kept = this.#rules.get(key);
    if (kept) return kept;
    const properties = this.#ledger.get<DeviceModel>(key)?.spec?.properties ?? [];
    const rules = new Map(properties.map((each) => [each.name, rulesOf(each)]));
    this.#rules.set(key, rules);
    return rules;
  }
}

export function modelKeyOf(namespace: string, model: string): string {
  return objectKey(GVR.deviceModels, namespace, model);
}

function newEntry({ namespace, name }: DeviceName, monotonicMs: number): DeviceEntry {
  return {
    namespace,
    name,
    key: deviceKey({ namespace, name }),
    record: undefined,
    seenMonotonicMs: monotonicMs,
    heard: false,
  };
}
