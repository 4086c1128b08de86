/** The DeviceModel of devices.kubeedge.io/v1beta1: which properties devices of a sort have. */
import { defineKind } from "./define_kind.ts";
import { DEVICES_GROUP } from "./device.ts";
import type { KindInfo } from "./kind_info.ts";

export const DEVICE_MODEL: KindInfo = defineKind({
  group: DEVICES_GROUP,
  version: "v1beta1",
  kind: "DeviceModel",
  plural: "devicemodels",
  generationFields: ["spec"],
  default: (object) => object["spec"] === undefined ? { ...object, spec: {} } : object,
});
