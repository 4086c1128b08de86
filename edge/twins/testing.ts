/** A node with devices for unit tests: the real engine over a store in memory. */
import { Changes } from "../../shared/async/wakeup.ts";
import type { Device, DeviceModel, ModelProperty } from "../../shared/k8s/devices.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import type { InventoryEntry } from "../../shared/wire/desired.ts";
import { objectKey } from "../../shared/wire/keys.ts";
import type { Report } from "../../shared/wire/report.ts";
import type { LedgerHead } from "../meta/port.ts";
import { DurableOutbox } from "../meta/outbox.ts";
import { TwinEngine } from "./engine.ts";
import type { TwinManager } from "./manager.ts";
import type { DeviceName } from "./model.ts";

/** What the cloud wants, changed at will. */
export class TestLedger {
  readonly changes = new Changes();
  readonly head: LedgerHead = { cloudId: "c", generation: 1, digest: "" };
  readonly #objects = new Map<string, { version: number; object: KubeObject }>();
  #version = 0;

  get<T extends KubeObject>(key: string): T | undefined {
    return this.#objects.get(key)?.object as T | undefined; // the key says the kind
  }

  inventory(): InventoryEntry[] {
    return [...this.#objects].map(([key, { version, object }]) => ({
      key,
      uid: object.metadata.uid ?? "",
      resourceVersion: String(version),
    }));
  }

  put(key: string, object: KubeObject): void {
    this.#objects.set(key, { version: ++this.#version, object });
  }

  delete(key: string): void {
    this.#objects.delete(key);
  }
}

export const NAMESPACE = "default";

export function named(name: string): DeviceName {
  return { namespace: NAMESPACE, name };
}

export const MODEL_PROPERTIES: ModelProperty[] = [
  { name: "temperature", type: "DOUBLE", accessMode: "ReadWrite", minimum: "-40", maximum: "85.5" },
  { name: "count", type: "INT", accessMode: "ReadWrite" },
  { name: "serial", type: "STRING", accessMode: "ReadOnly" },
  { name: "on", type: "BOOLEAN", accessMode: "ReadWrite" },
  { name: "blob", type: "BYTES", accessMode: "ReadWrite" },
];

export class TwinWorld {
  readonly clock = new SimClock();
  readonly ledger = new TestLedger();
  store = new MemoryStore({ clock: this.clock });
  outbox!: DurableOutbox;
  engine!: TwinEngine;

  /** With one model and these devices of it. */
  static async start(...names: string[]): Promise<TwinWorld> {
    const world = new TwinWorld();
    world.putModel();
    for (const name of names) world.putDevice(name);
    world.open();
    await world.engine.sync();
    return world;
  }

  get twins(): TwinManager {
    return this.engine.twins;
  }

  /** As after a start: everything in memory is new. */
  open(): void {
    const { store, clock, ledger } = this;
    this.outbox = new DurableOutbox({ store, clock });
    this.engine = new TwinEngine({ store, ledger, outbox: this.outbox, clock });
    this.outbox.makeWith(this.engine.maker);
  }

  putModel(properties: ModelProperty[] = MODEL_PROPERTIES): void {
    const metadata = { namespace: NAMESPACE, name: "sensor", uid: "model" };
    const model: DeviceModel = { metadata, spec: { properties, protocol: "sim" } };
    this.ledger.put(objectKey(GVR.deviceModels, NAMESPACE, "sensor"), model);
  }

  putDevice(name: string, change: (device: Device) => void = () => {}): void {
    const device: Device = {
      metadata: { namespace: NAMESPACE, name, uid: `uid-${name}` },
      spec: { deviceModelRef: { name: "sensor" }, nodeName: "n1", properties: [] },
    };
    change(device);
    this.ledger.put(objectKey(GVR.devices, NAMESPACE, name), device);
  }

  removeDevice(name: string): void {
    this.ledger.delete(objectKey(GVR.devices, NAMESPACE, name));
  }

  /** Reports that are due, taken as the link takes them, and acknowledged. */
  async drain(): Promise<Report[]> {
    const items = this.outbox.pending(0, 100);
    const reports = items.map((item) => item.report);
    await this.outbox.acknowledge(items.map((item) => item.sequence));
    return reports;
  }

  async report(name: string, values: Record<string, string>) {
    const twins = Object.fromEntries(
      Object.entries(values).map(([property, value]) => [property, { value }]),
    );
    return await this.twins.report(named(name), { twins });
  }
}
