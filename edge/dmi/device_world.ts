/**
 * What mappers are to know, as it is now: devices by protocol and the models they name. An index of
 * which device speaks what is kept in memory, once there is a mapper; the messages are made when
 * they are looked at. Keys: `d/<namespace>/<name>` for devices, `m/...` for models.
 */
import { createHash } from "node:crypto";
import { nextTurn } from "../../shared/clock.ts";
import type {
  Device as DeviceMessage,
  DeviceModel as ModelMessage,
} from "../../shared/gen/v1beta1/api_pb.ts";
import type { Device, DeviceModel } from "../../shared/k8s/devices.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import { objectKey } from "../../shared/wire/keys.ts";
import type { DeviceName, Twins } from "../twins/port.ts";
import type { DmiObjects } from "./port.ts";
import { deviceBytes, modelBytes, toDeviceMessage, toModelMessage } from "./to_message.ts";

/** Devices looked at before others get a turn: some milliseconds. */
const SLICE = 50;
const PAGE = 1_000;

export type Wanted =
  | { kind: "device"; message: DeviceMessage; digest: string; bytes: number }
  | { kind: "model"; message: ModelMessage; digest: string; bytes: number };

/** Not to be told now, and not to be taken back either: its model has not come yet. */
export const HOLD = "hold";

interface Entry {
  protocol: string;
  /** "" for none. */
  model: string;
}

export class DeviceWorld {
  readonly #objects: DmiObjects;
  #twins: Twins | undefined;
  #entries = new Map<string, Entry>();
  /** By protocol: keys of models, and how many devices name them. */
  #models = new Map<string, Map<string, number>>();

  constructor(objects: DmiObjects) {
    this.#objects = objects;
  }

  /** Reads everything; undefined for a node without devices. */
  async build(twins: Twins | undefined, signal: AbortSignal): Promise<void> {
    this.#twins = twins;
    this.#entries = new Map();
    this.#models = new Map();
    let after = "";
    for (;;) {
      const page = twins?.list({ after, limit: PAGE }) ?? [];
      for (const [index, device] of page.entries()) {
        this.update(device);
        if (index % SLICE === SLICE - 1) await nextTurn();
        signal.throwIfAborted();
      }
      const last = page.at(-1);
      if (!last || page.length < PAGE) return;
      after = `${last.namespace}/${last.name}`;
    }
  }

  /** Looks at a device anew; names the protocols and keys that are to be looked at for it. */
  update(device: DeviceName): { protocols: string[]; keys: string[] } {
    const key = deviceKeyOf(device);
    const before = this.#entries.get(key);
    const definition = this.#twins?.definition(device);
    const after = definition &&
      { protocol: definition.protocol.name, model: definition.model ?? "" };
    const models = [before, after].flatMap((entry) =>
      entry?.model ? [modelKeyOf(device.namespace, entry.model)] : []
    );
    if (before) this.#count(before, device.namespace, -1);
    if (after) {
      this.#entries.set(key, after);
      this.#count(after, device.namespace, 1);
    } else {
      this.#entries.delete(key);
    }
    const protocols = [before, after].flatMap((entry) => entry ? [entry.protocol] : []);
    return { protocols: [...new Set(protocols)], keys: [...new Set([...models, key])] };
  }

  protocolOf(device: DeviceName): string | undefined {
    return this.#entries.get(deviceKeyOf(device))?.protocol;
  }

  /** Models first. */
  *keysOf(protocol: string): Iterable<string> {
    yield* this.#models.get(protocol)?.keys() ?? [];
    for (const [key, entry] of this.#entries) if (entry.protocol === protocol) yield key;
  }

  /**
   * Undefined: a mapper of this protocol has nothing to do with it. `models` are keys of those that
   * were there a moment ago.
   */
  wanted(
    protocol: string,
    key: string,
    models?: ReadonlySet<string>,
  ): Wanted | typeof HOLD | undefined {
    if (key.startsWith("m/")) return this.#wantedModel(protocol, key, nameOf(key));
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    const device = nameOf(key);
    const { model } = entry;
    // without its model it may not even be known what it speaks
    const isHeld = model !== "" && !models?.has(modelKeyOf(device.namespace, model)) &&
      !this.#model(device.namespace, model);
    if (isHeld) return HOLD;
    return entry.protocol === protocol ? this.#wantedDevice(device) : undefined;
  }

  #wantedModel(protocol: string, key: string, { namespace, name }: DeviceName) {
    const model = this.#model(namespace, name);
    if (!model) return this.#isNamed(key) ? HOLD : undefined;
    if (!this.#models.get(protocol)?.has(key)) return undefined;
    const message = toModelMessage(model);
    const bytes = modelBytes(message);
    return { kind: "model" as const, message, digest: digestOf(bytes), bytes: bytes.length };
  }

  #wantedDevice(device: DeviceName): Wanted | undefined {
    const definition = this.#twins?.definition(device);
    if (!definition || !this.#twins) return undefined;
    const message = toDeviceMessage({
      definition,
      device: this.#objects.get<Device>(objectKey(GVR.devices, device.namespace, device.name)),
      twins: this.#twins.twins(device),
    });
    const bytes = deviceBytes(message);
    return { kind: "device", message, digest: digestOf(bytes), bytes: bytes.length };
  }

  #isNamed(key: string): boolean {
    for (const counts of this.#models.values()) if (counts.has(key)) return true;
    return false;
  }

  #model(namespace: string, name: string): DeviceModel | undefined {
    return this.#objects.get<DeviceModel>(objectKey(GVR.deviceModels, namespace, name));
  }

  #count({ protocol, model }: Entry, namespace: string, by: 1 | -1): void {
    if (model === "") return;
    const key = modelKeyOf(namespace, model);
    const counts = this.#models.get(protocol) ?? new Map<string, number>();
    this.#models.set(protocol, counts);
    const count = (counts.get(key) ?? 0) + by;
    if (count > 0) counts.set(key, count);
    else counts.delete(key);
    if (counts.size === 0) this.#models.delete(protocol);
  }
}

export function deviceKeyOf({ namespace, name }: DeviceName): string {
  return `d/${namespace}/${name}`;
}

function modelKeyOf(namespace: string, name: string): string {
  return `m/${namespace}/${name}`;
}

export function nameOf(key: string): DeviceName {
  const [, namespace = "", name = ""] = key.split("/");
  return { namespace, name };
}

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64url").slice(0, 22);
}
