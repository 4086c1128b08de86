/** Device and DeviceModel of devices.kubeedge.io/v1alpha2: views of what is stored as v1beta1. */
import { checkAlphaDevice, checkAlphaModel } from "../../../shared/devices/alpha/check.ts";
import { alphaDevice, betaDevice } from "../../../shared/devices/alpha/device.ts";
import { alphaModel, betaModel } from "../../../shared/devices/alpha/model.ts";
import type { AlphaDevice, AlphaModel } from "../../../shared/devices/alpha/shapes.ts";
import type { Device, DeviceModel } from "../../../shared/k8s/devices.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { defineKind } from "./define_kind.ts";
import { DEVICE, DEVICES_GROUP } from "./device.ts";
import { DEVICE_MODEL } from "./device_model.ts";
import { toFieldErrors } from "./device_problems.ts";
import type { KindInfo } from "./kind_info.ts";

const withSpec = (object: KubeObject): KubeObject =>
  object["spec"] === undefined ? { ...object, spec: {} } : object;

// Shapes are those of the schema tables: decodeJson() and what was stored have seen to it
const asAlpha = (object: KubeObject) => withSpec(object) as AlphaDevice;
const asAlphaModel = (object: KubeObject) => withSpec(object) as AlphaModel;

/** No status subresource: the desired values of this version stand in `status`. */
export const DEVICE_ALPHA: KindInfo = defineKind({
  group: DEVICES_GROUP,
  version: "v1alpha2",
  kind: "Device",
  plural: "devices",
  schema: "DeviceAlpha",
  fields: {
    "spec.nodeName": (stored) => DEVICE.fields(stored)["spec.nodeName"],
    "status.state": (stored) => DEVICE.fields(stored)["status.state"],
  },
  view: {
    of: DEVICE,
    fromStored: (object) => alphaDevice(object as Device),
    check: (object) => toFieldErrors(checkAlphaDevice(asAlpha(object))),
    toStored: (object, current) => betaDevice(asAlpha(object), current as Device | undefined),
  },
});

export const DEVICE_MODEL_ALPHA: KindInfo = defineKind({
  group: DEVICES_GROUP,
  version: "v1alpha2",
  kind: "DeviceModel",
  plural: "devicemodels",
  schema: "DeviceModelAlpha",
  view: {
    of: DEVICE_MODEL,
    fromStored: (object) => alphaModel(object as DeviceModel),
    check: (object) => toFieldErrors(checkAlphaModel(asAlphaModel(object))),
    toStored: (object, current) =>
      betaModel(asAlphaModel(object), current as DeviceModel | undefined),
  },
});
