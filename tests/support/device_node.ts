/**
 * A node's devices on a real disk without the rest of the edge: what the bench fills and drives.
 */
import { SystemClock } from "../../shared/clock.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Device, DeviceModel } from "../../shared/k8s/devices.ts";
import { DenoDisk } from "../../shared/store/deno_disk.ts";
import { type DurableStore, openStore } from "../../shared/store/durable_store.ts";
import { type DesiredItem, inventoryDigest } from "../../shared/wire/desired.ts";
import { objectKey } from "../../shared/wire/keys.ts";
import { DurableLedger } from "../../edge/meta/ledger.ts";
import { DurableOutbox } from "../../edge/meta/outbox.ts";
import { TwinEngine } from "../../edge/twins/engine.ts";

export const NAMESPACE = "plant";
export const PROPERTIES = 10;
/** Devices in one batch of desired state. */
const BATCH = 500;

const clock = new SystemClock();

export function deviceName(index: number): string {
  return `device-${String(index).padStart(5, "0")}`;
}

export function propertyName(index: number): string {
  return `property-${index}`;
}

export class DeviceNode {
  readonly store: DurableStore;
  readonly ledger: DurableLedger;
  readonly outbox: DurableOutbox;
  readonly engine: TwinEngine;

  readonly #protocol: string;

  private constructor(store: DurableStore, protocol: string) {
    this.store = store;
    this.#protocol = protocol;
    this.ledger = new DurableLedger(store);
    this.outbox = new DurableOutbox({ store, clock });
    this.engine = new TwinEngine({ store, clock, ledger: this.ledger, outbox: this.outbox });
    this.outbox.makeWith(this.engine.maker);
  }

  /** As the edge opens them; `storeDir` is its store. */
  static async open(storeDir: string, protocol = "modbus"): Promise<DeviceNode> {
    const store = await openStore({ dir: storeDir, disk: new DenoDisk(), clock });
    const node = new DeviceNode(store, protocol);
    await node.engine.sync();
    return node;
  }

  /** Desired state with so many devices of one model, as the cloud would send it. */
  async fill(devices: number): Promise<void> {
    const protocol = this.#protocol;
    const all = Array.from({ length: devices }, (_, i) => deviceItem(i, protocol));
    const items = [modelItem(protocol), ...all];
    for (let at = 0; at < items.length; at += BATCH) {
      const upserts = items.slice(at, at + BATCH);
      const digest = inventoryDigest([...this.ledger.inventory(), ...upserts]);
      const generation = this.ledger.head.generation + 1;
      await this.ledger.accept({ cloudId: "bench", generation, digest, upserts, deletes: [] });
    }
    await this.engine.sync();
  }

  async report(device: number, property: number, value: string): Promise<void> {
    const name = { namespace: NAMESPACE, name: deviceName(device) };
    const timestampMs = Math.round(clock.nowMs());
    const twins = { [propertyName(property)]: { value } };
    await this.engine.twins.report(name, { twins, timestampMs });
  }

  async reportAll(device: number, value: string): Promise<void> {
    const name = { namespace: NAMESPACE, name: deviceName(device) };
    const twins = Object.fromEntries(
      Array.from({ length: PROPERTIES }, (_, i) => [propertyName(i), { value }]),
    );
    await this.engine.twins.report(name, { twins });
  }

  async close(): Promise<void> {
    await this.store.close();
  }
}

function modelItem(protocol: string): DesiredItem {
  const model: DeviceModel = {
    apiVersion: "devices.kubeedge.io/v1beta1",
    kind: "DeviceModel",
    metadata: { namespace: NAMESPACE, name: "sensor", uid: "model", resourceVersion: "1" },
    spec: {
      protocol,
      properties: Array.from({ length: PROPERTIES }, (_, i) => ({
        name: propertyName(i),
        description: `register ${i}`,
        type: "DOUBLE" as const,
        accessMode: "ReadWrite" as const,
        minimum: "-1e9",
        maximum: "1e9",
        unit: "C",
      })),
    },
  };
  const key = objectKey(GVR.deviceModels, NAMESPACE, "sensor");
  return { key, uid: "model", resourceVersion: "1", object: model };
}

function deviceItem(index: number, protocolName: string): DesiredItem {
  const name = deviceName(index);
  const uid = `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`;
  const device: Device = {
    apiVersion: "devices.kubeedge.io/v1beta1",
    kind: "Device",
    metadata: { namespace: NAMESPACE, name, uid, labels: { line: String(index % 7) } },
    spec: {
      deviceModelRef: { name: "sensor" },
      nodeName: "bench",
      protocol: { protocolName, configData: { ip: `10.0.${index >> 8}.${index & 255}` } },
      properties: Array.from({ length: PROPERTIES }, (_, i) => ({
        name: propertyName(i),
        collectCycle: 10_000,
        reportCycle: 60_000,
        visitors: { protocolName, configData: { register: "Holding", offset: i } },
      })),
    },
  };
  const key = objectKey(GVR.devices, NAMESPACE, name);
  return { key, uid, resourceVersion: "1", object: device };
}
