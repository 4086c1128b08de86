/**
 * DeviceStatus: what a device's node reports of it, under the device's own name. It is not stored
 * by itself: it shows the `status` of the Device, so that one write serves readers of both, a watch
 * of either sees it, and it goes when the device goes. Every Device has one; it is neither created
 * nor deleted apart from its Device.
 */
import { isJsonObject, type JsonObject } from "../../../shared/json/json.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { defineKind } from "./define_kind.ts";
import { DEVICE, DEVICES_GROUP } from "./device.ts";
import type { KindInfo } from "./kind_info.ts";

const REPORTED = ["twins", "state", "lastOnlineTime", "extensions"] as const;

export const DEVICE_STATUS: KindInfo = defineKind({
  group: DEVICES_GROUP,
  version: "v1beta1",
  kind: "DeviceStatus",
  plural: "devicestatuses",
  verbs: ["get", "list", "patch", "update", "watch"],
  hasStatus: true,
  // of the Device: selections are made among what is stored
  fields: {
    "spec.nodeName": (device) => DEVICE.fields(device)["spec.nodeName"],
    "status.state": (device) => DEVICE.fields(device)["status.state"],
  },
  subresources: [{
    name: "status",
    verbs: ["get", "patch", "update"],
    responseKind: { group: DEVICES_GROUP, version: "v1beta1", kind: "DeviceStatus" },
  }],
  view: {
    of: DEVICE,
    fromStored: statusOfDevice,
    check: () => [],
    toStored: (object, device) => withReport(device!, object["status"]), // nothing creates here
  },
});

function statusOfDevice(device: KubeObject): KubeObject {
  const { name = "", namespace, uid = "", resourceVersion, creationTimestamp } = device.metadata;
  return {
    apiVersion: `${DEVICES_GROUP}/v1beta1`,
    kind: "DeviceStatus",
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      uid: ownUid(uid),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
      ownerReferences: [{
        apiVersion: `${DEVICES_GROUP}/v1beta1`,
        kind: "Device",
        name,
        uid,
        controller: true,
        blockOwnerDeletion: true,
      }],
    },
    spec: {},
    status: reportedPart(device["status"]),
  };
}

/** An object is never its own owner: the first group of the device's uid, inverted. */
function ownUid(uid: string): string {
  const head = (~parseInt(uid.slice(0, 8), 16) >>> 0).toString(16).padStart(8, "0");
  return head + uid.slice(8);
}

function reportedPart(status: unknown): JsonObject {
  if (!isJsonObject(status)) return {};
  return Object.fromEntries(
    REPORTED.filter((key) => status[key] !== undefined).map((key) => [key, status[key]]),
  );
}

/** The device with this report in place of the last; what others wrote into its status stays. */
function withReport(device: KubeObject, report: unknown): KubeObject {
  const kept: JsonObject = isJsonObject(device["status"]) ? { ...device["status"] } : {};
  for (const key of REPORTED) delete kept[key];
  return { ...device, status: { ...kept, ...reportedPart(report) } };
}
