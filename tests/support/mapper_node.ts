/** The real twin engine and mappers in this process, for tests against real servers. */
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SystemClock } from "../../shared/clock.ts";
import { SeededRandom } from "../../shared/random.ts";
import type { Device, DeviceModel, DeviceProperty } from "../../shared/k8s/devices.ts";
import type { ModelProperty } from "../../shared/k8s/devices.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { objectKey } from "../../shared/wire/keys.ts";
import { DurableOutbox } from "../../edge/meta/outbox.ts";
import { type ExternalMappers, MapperRoom } from "../../edge/mappers/mapper_room.ts";
import type { MappedStatus } from "../../edge/mappers/port.ts";
import type { Protocol } from "../../edge/mappers/protocols.ts";
import { TwinEngine } from "../../edge/twins/engine.ts";
import type { DeviceName } from "../../edge/twins/port.ts";
import { TestLedger } from "../../edge/twins/testing.ts";
import { until } from "./until.ts";

const NAMESPACE = "default";

export interface NodeDevice {
  name: string;
  protocol: string;
  config?: Record<string, unknown>;
  /** By property name; `type` defaults to INT. */
  properties: Record<string, NodeProperty>;
}

export interface NodeProperty {
  type?: ModelProperty["type"];
  readOnly?: boolean;
  minimum?: string;
  desired?: string;
  collectMs?: number;
  reportMs?: number;
  config?: Record<string, unknown>;
}

export interface MapperNodeOptions {
  external?: ExternalMappers;
  protocols?: (name: string) => Protocol | undefined;
  onCycle?: (lateMs: number) => void;
  dataDir?: string;
}

export class MapperNode implements AsyncDisposable {
  readonly ledger = new TestLedger();
  readonly engine: TwinEngine;
  readonly room: MapperRoom;
  readonly #scope = new TaskScope();

  constructor(options: MapperNodeOptions = {}) {
    const clock = new SystemClock();
    const store = new MemoryStore({ clock });
    const outbox = new DurableOutbox({ store, clock });
    this.engine = new TwinEngine({ store, ledger: this.ledger, outbox, clock });
    outbox.makeWith(this.engine.maker);
    const random = new SeededRandom(1);
    this.room = new MapperRoom({ twins: this.engine.twins, clock, random, ...options });
    this.#scope.spawn("mappers", (signal) => this.room.run(signal));
  }

  /** As the cloud sends it: a model of its own for each device. */
  async put(device: NodeDevice): Promise<void> {
    const { model, object } = manifests(device);
    this.ledger.put(objectKey(GVR.deviceModels, NAMESPACE, `${device.name}-model`), model);
    this.ledger.put(objectKey(GVR.devices, NAMESPACE, device.name), object);
    await this.engine.sync();
  }

  async remove(name: string): Promise<void> {
    this.ledger.delete(objectKey(GVR.devices, NAMESPACE, name));
    await this.engine.sync();
  }

  reported(name: string, property: string): string | undefined {
    return this.engine.twins.twin(named(name), property)?.reported?.value;
  }

  status(name: string): MappedStatus | undefined {
    return this.room.status().find((each) => each.name === name);
  }

  async untilReported(name: string, values: Record<string, string>): Promise<void> {
    await until(() => {
      const found = Object.keys(values).map((key) => [key, this.reported(name, key)]);
      const [is, wanted] = [JSON.stringify(Object.fromEntries(found)), JSON.stringify(values)];
      if (is !== wanted) {
        throw new Error(`${is}, ${JSON.stringify(this.status(name))}`);
      }
      return true;
    }, { what: `${name} reports ${JSON.stringify(values)}`, timeoutMs: 30_000 });
  }

  /** The state the twins know, and what the mappers say of it. */
  async untilState(name: string, state: string, reason = /^/): Promise<MappedStatus> {
    return await until(() => {
      const status = this.status(name);
      const known = this.engine.twins.get(named(name))?.life.state;
      if (known === state && status && reason.test(status.reason)) return status;
      throw new Error(`${known}, ${JSON.stringify(status)}`);
    }, { what: `${name} is ${state}`, timeoutMs: 60_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
  }
}

function named(name: string): DeviceName {
  return { namespace: NAMESPACE, name };
}

function manifests({ name, protocol, config = {}, properties }: NodeDevice) {
  const model: DeviceModel = {
    metadata: { namespace: NAMESPACE, name: `${name}-model`, uid: `model-${name}` },
    spec: {
      protocol,
      properties: Object.entries(properties).map(([key, { type = "INT", readOnly, minimum }]) => ({
        name: key,
        type,
        accessMode: readOnly ? "ReadOnly" : "ReadWrite",
        ...(minimum === undefined ? {} : { minimum }),
      })),
    },
  };
  const object: Device = {
    metadata: { namespace: NAMESPACE, name, uid: `uid-${name}` },
    spec: {
      deviceModelRef: { name: `${name}-model` },
      nodeName: "n1",
      protocol: { protocolName: protocol, configData: config },
      properties: Object.entries(properties).map(([key, property]): DeviceProperty => ({
        name: key,
        collectCycle: property.collectMs ?? 50,
        reportCycle: property.reportMs ?? property.collectMs ?? 50,
        visitors: { protocolName: protocol, configData: property.config ?? {} },
        ...(property.desired === undefined ? {} : { desired: { value: property.desired } }),
      })),
    },
  };
  return { model, object };
}
