/** Columns of persistent volumes, claims and storage classes. */
import { isJsonObject, type JsonObject } from "../../json/json.ts";
import { ageOf } from "../duration.ts";
import type { KubeObject } from "../types.ts";
import type { Column } from "./columns.ts";

type Read = (object: KubeObject, nowMs: number) => string;

const UNSET = "<unset>";
const SHORT_MODES: Readonly<Record<string, string>> = {
  ReadWriteOnce: "RWO",
  ReadOnlyMany: "ROX",
  ReadWriteMany: "RWX",
  ReadWriteOncePod: "RWOP",
};

const text = (name: string, cell: Read, priority: 0 | 1 = 0): Column => ({
  name,
  type: "string",
  priority,
  cell,
});

const NAME = text("Name", (object) => object.metadata.name ?? "");
const AGE = text("Age", (object, nowMs) => ageOf(object.metadata.creationTimestamp, nowMs));

function part(object: unknown, key: string): JsonObject {
  const value = isJsonObject(object) ? object[key] : undefined;
  return isJsonObject(value) ? value : {};
}

const word = (value: unknown): string => typeof value === "string" ? value : "";
const spec = (object: KubeObject) => part(object, "spec");
const status = (object: KubeObject) => part(object, "status");

function modes(value: unknown): string {
  const list: unknown[] = Array.isArray(value) ? value : [];
  return list.map((mode) => SHORT_MODES[word(mode)] ?? word(mode)).join(",");
}

function phase(object: KubeObject): string {
  return object.metadata.deletionTimestamp ? "Terminating" : word(status(object)["phase"]);
}

function claimText(object: KubeObject): string {
  const { namespace, name } = part(spec(object), "claimRef");
  return name ? `${word(namespace)}/${word(name)}` : "";
}

export const STORAGE_COLUMNS: Readonly<Record<string, Column[]>> = {
  PersistentVolume: [
    NAME,
    text("Capacity", (object) => word(part(spec(object), "capacity")["storage"])),
    text("Access Modes", (object) => modes(spec(object)["accessModes"])),
    text("Reclaim Policy", (object) => word(spec(object)["persistentVolumeReclaimPolicy"])),
    text("Status", phase),
    text("Claim", claimText),
    text("StorageClass", (object) => word(spec(object)["storageClassName"])),
    text(
      "VolumeAttributesClass",
      (object) => word(spec(object)["volumeAttributesClassName"]) || UNSET,
    ),
    text("Reason", (object) => word(status(object)["reason"])),
    AGE,
    text("VolumeMode", (object) => word(spec(object)["volumeMode"]) || UNSET, 1),
  ],
  PersistentVolumeClaim: [
    NAME,
    text("Status", phase),
    text("Volume", (object) => word(spec(object)["volumeName"])),
    text("Capacity", (object) => word(part(status(object), "capacity")["storage"])),
    text("Access Modes", (object) => modes(status(object)["accessModes"])),
    text("StorageClass", (object) => word(spec(object)["storageClassName"])),
    text(
      "VolumeAttributesClass",
      (object) => word(spec(object)["volumeAttributesClassName"]) || UNSET,
    ),
    AGE,
    text("VolumeMode", (object) => word(spec(object)["volumeMode"]) || UNSET, 1),
  ],
  StorageClass: [
    NAME,
    text("Provisioner", (object) => word(object["provisioner"])),
    text("ReclaimPolicy", (object) => word(object["reclaimPolicy"])),
    text("VolumeBindingMode", (object) => word(object["volumeBindingMode"])),
    text("AllowVolumeExpansion", (object) => String(object["allowVolumeExpansion"] === true)),
    AGE,
  ],
};
