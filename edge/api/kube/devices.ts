/** Devices as Kubernetes shows them: what the cloud wrote, with the status this node knows. */
import type { Device, DeviceStatusBody } from "../../../shared/k8s/devices.ts";
import { apiVersionOf, GVR } from "../../../shared/k8s/gvr.ts";
import { toTime } from "../../../shared/clock.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { qualifiedResource } from "../../../shared/wire/keys.ts";
import type { Twins } from "../../twins/port.ts";
import type { LocalObjects } from "../port.ts";
import type { LocalResource } from "./resources.ts";

const API_VERSION = apiVersionOf(GVR.devices);

export function deviceResources(
  objects: LocalObjects,
  twins: () => Twins | undefined,
): LocalResource[] {
  const held = (gvr: { group: string; resource: string }) => objects.list(qualifiedResource(gvr));
  return [
    {
      group: GVR.devices.group,
      version: GVR.devices.version,
      plural: "devices",
      singular: "device",
      kind: "Device",
      shortNames: [],
      namespaced: true,
      selectableFields: ["spec.nodeName", "spec.deviceModelRef.name", "status.state"],
      // the key they lie under says what they are
      list: () => held(GVR.devices).map((object) => withStatus(object as Device, twins())),
    },
    {
      group: GVR.deviceModels.group,
      version: GVR.deviceModels.version,
      plural: "devicemodels",
      singular: "devicemodel",
      kind: "DeviceModel",
      shortNames: [],
      namespaced: true,
      selectableFields: [],
      list: () =>
        held(GVR.deviceModels).map((object) => ({
          ...object,
          apiVersion: API_VERSION,
          kind: "DeviceModel",
        })),
    },
  ];
}

function withStatus(device: Device, twins: Twins | undefined): KubeObject {
  const { namespace = "", name = "" } = device.metadata;
  const summary = twins?.get({ namespace, name });
  const status: DeviceStatusBody | undefined = summary && {
    state: summary.life.state,
    ...(summary.life.lastOnlineMs === undefined
      ? {}
      : { lastOnlineTime: toTime(summary.life.lastOnlineMs) }),
    twins: twins?.status({ namespace, name }) ?? [],
  };
  return { ...device, apiVersion: API_VERSION, kind: "Device", ...(status ? { status } : {}) };
}
