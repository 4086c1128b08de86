/**
 * Writes what nodes report of their devices into DeviceStatus objects: one request a report,
 * decided without reading anything but the cache. The patch names the device's uid and replaces
 * what was reported before as a whole, so there is nothing to conflict with; the API server keeps
 * an object that would not change. Which report of a device is the latest is the hub's business.
 */
import { isAppError } from "../../shared/errors.ts";
import type { Device, DeviceStatusBody } from "../../shared/k8s/devices.ts";
import { apiVersionOf, GVR } from "../../shared/k8s/gvr.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import type { DeviceRef } from "../../shared/wire/report.ts";
import type { ReportOutcome } from "../hub/port.ts";
import type { KubeClient } from "../kube/port.ts";
import type { ObjectCache } from "./port.ts";

export interface DeviceReportsOptions {
  kube: KubeClient;
  devices: ObjectCache<Device>;
}

export class DeviceReports {
  readonly #options: DeviceReportsOptions;

  constructor(options: DeviceReportsOptions) {
    this.#options = options;
  }

  async apply(
    node: string,
    report: { device: DeviceRef; status: DeviceStatusBody },
    signal: AbortSignal,
  ): Promise<ReportOutcome> {
    const { refusal, device } = await this.own(node, report.device, signal);
    if (refusal !== undefined) return { kind: "dropped", reason: refusal };
    try {
      await this.#write(report.device, report.status, signal);
    } catch (error) {
      if (!isAppError(error, "not_found")) throw error;
      // a cluster that stores DeviceStatus by itself, and this device's is not there yet
      await this.#create(device, signal);
      await this.#write(report.device, report.status, signal);
    }
    return { kind: "applied" };
  }

  /** The device, and why the node may not speak for it; throws "not_found" when there is none. */
  async own(
    node: string,
    ref: DeviceRef,
    signal: AbortSignal,
  ): Promise<{ device: Device; refusal: string | undefined }> {
    const { namespace, name } = ref;
    const cached = this.#options.devices.get(namespace, name);
    if (cached && notOwn(node, cached, ref) === undefined) {
      return { device: cached, refusal: undefined };
    }
    // the cache may be behind: a device made or moved a moment ago
    const device = await this.#options.kube.get<Device>(GVR.devices, { namespace, name }, signal);
    return { device, refusal: notOwn(node, device, ref) };
  }

  async #write(ref: DeviceRef, status: DeviceStatusBody, signal: AbortSignal): Promise<void> {
    const { namespace, name, uid } = ref;
    const target = { namespace, name, subresource: "status" };
    const body = [
      { op: "test", path: "/metadata/ownerReferences/0/uid", value: uid },
      { op: "add", path: "/status", value: status },
    ];
    await this.#options.kube.patch(GVR.deviceStatuses, target, { type: "json", body }, signal);
  }

  async #create(device: Device, signal: AbortSignal): Promise<void> {
    const { name = "", namespace = "", uid = "" } = device.metadata;
    const apiVersion = apiVersionOf(GVR.devices);
    const object: KubeObject = {
      apiVersion,
      kind: "DeviceStatus",
      metadata: {
        name,
        namespace,
        ownerReferences: [{
          apiVersion,
          kind: "Device",
          name,
          uid,
          controller: true,
          blockOwnerDeletion: true,
        }],
      },
    };
    await this.#options.kube.create(GVR.deviceStatuses, object, signal);
  }
}

function notOwn(node: string, device: Device, ref: DeviceRef): string | undefined {
  if (device.metadata.uid !== ref.uid) return "device was recreated under another uid";
  return device.spec.nodeName === node ? undefined : "device does not belong to this node";
}
