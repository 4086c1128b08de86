/**
 * The Device of devices.kubeedge.io/v1beta1, the stored form of every Device and DeviceStatus.
 * Status is what its node reports, and the conditions the cloud has found. What is wrong in itself
 * is refused; what does not fit a model that is there is refused too; a model that is not there yet
 * is a warning, because manifests apply in any order.
 */
import type { Device } from "../../../shared/k8s/devices.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { defineKind } from "./define_kind.ts";
import type { KindInfo } from "./kind_info.ts";

export const DEVICES_GROUP = "devices.kubeedge.io";

const device = (object: KubeObject) => object as Device; // its shape was checked by decodeJson()

export const DEVICE: KindInfo = defineKind({
  group: DEVICES_GROUP,
  version: "v1beta1",
  kind: "Device",
  plural: "devices",
  hasStatus: true,
  generationFields: ["spec"],
  subresources: [{
    name: "status",
    verbs: ["get", "patch", "update"],
    responseKind: { group: DEVICES_GROUP, version: "v1beta1", kind: "Device" },
  }],
  fields: {
    "spec.nodeName": (object) => device(object).spec.nodeName,
    "spec.deviceModelRef.name": (object) => device(object).spec.deviceModelRef?.name,
  },
  default: (object) => object["spec"] === undefined ? { ...object, spec: {} } : object,
  prepareCreate: ({ status: _reported, ...object }) => object as KubeObject, // nodes report it
});
