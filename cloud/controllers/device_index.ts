/**
 * Which devices belong to which node and which nodes use a DeviceModel, kept up to date device by
 * device. A change of nothing but status is no change here: the device as it was projected stays,
 * so that a report from a node costs neither a projection nor a digest. Bounded by the devices.
 */
import { deepEqual } from "../../shared/json/json.ts";
import type { Device } from "../../shared/k8s/devices.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import { objectKey } from "../../shared/wire/keys.ts";
import type { ObjectChange } from "./port.ts";

export function deviceKey(device: Device): string {
  return objectKey(GVR.devices, device.metadata.namespace, device.metadata.name ?? "");
}

/** Key of the model a device names; undefined when it names none. */
export function modelKey(device: Device): string | undefined {
  const name = device.spec.deviceModelRef?.name;
  return name ? objectKey(GVR.deviceModels, device.metadata.namespace, name) : undefined;
}

export class DeviceIndex {
  readonly #ofNode = new Map<string, Map<string, Device>>();
  /** Model key -> node -> how many of its devices name it. */
  readonly #users = new Map<string, Map<string, number>>();

  /** Takes one step of a device; returns the nodes whose projection may differ now. */
  apply({ before, after }: ObjectChange<Device>): string[] {
    if (before && after && isSameForNode(before, after)) return [];
    const touched = new Set<string>();
    if (before?.spec.nodeName) {
      this.#remove(before.spec.nodeName, before);
      touched.add(before.spec.nodeName);
    }
    if (after?.spec.nodeName) {
      this.#add(after.spec.nodeName, after);
      touched.add(after.spec.nodeName);
    }
    return [...touched];
  }

  /** In no particular order; each as it was when something other than its status changed last. */
  devicesOf(node: string): Iterable<Device> {
    return this.#ofNode.get(node)?.values() ?? [];
  }

  /** Nodes with a device of this model. */
  usersOf(model: string): Iterable<string> {
    return this.#users.get(model)?.keys() ?? [];
  }

  #add(node: string, device: Device): void {
    let devices = this.#ofNode.get(node);
    if (!devices) this.#ofNode.set(node, devices = new Map());
    devices.set(deviceKey(device), device);
    const model = modelKey(device);
    if (model === undefined) return;
    let users = this.#users.get(model);
    if (!users) this.#users.set(model, users = new Map());
    users.set(node, (users.get(node) ?? 0) + 1);
  }

  #remove(node: string, device: Device): void {
    const devices = this.#ofNode.get(node);
    if (!devices?.delete(deviceKey(device))) return;
    if (devices.size === 0) this.#ofNode.delete(node);
    const model = modelKey(device);
    if (model === undefined) return;
    const users = this.#users.get(model);
    const left = (users?.get(node) ?? 0) - 1;
    if (left > 0) users?.set(node, left);
    else users?.delete(node);
    if (users?.size === 0) this.#users.delete(model);
  }
}

/** True when nothing but status and bookkeeping differs. */
export function isSameForNode(a: Device, b: Device): boolean {
  return deepEqual(seenByNode(a), seenByNode(b));
}

function seenByNode({ metadata, spec }: Device): unknown {
  const { managedFields: _, resourceVersion: __, ...kept } = metadata as Record<string, unknown>;
  return [kept, spec];
}
