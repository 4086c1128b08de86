/**
 * The DeviceModel of devices.kubeedge.io/v1beta1: which properties devices of a sort have. A
 * change that devices do not fit any more is not refused, for it may be the first of two; the
 * warning names some of them.
 */
import { checkAgainstModel } from "../../../shared/devices/check_against_model.ts";
import { checkModel } from "../../../shared/devices/check_model.ts";
import { deepEqual } from "../../../shared/json/json.ts";
import type { Device, DeviceModel } from "../../../shared/k8s/devices.ts";
import type { KubeObject, ObjectMeta } from "../../../shared/k8s/types.ts";
import { defineKind } from "./define_kind.ts";
import { DEVICES_GROUP } from "./device.ts";
import { toFieldErrors, toText } from "./device_problems.ts";
import type { KindInfo, Neighbours, Review } from "./kind_info.ts";

const DEVICES_ID = { group: DEVICES_GROUP, resource: "devices" } as const;
const WARNINGS_MAX = 5;

const model = (object: KubeObject) => object as DeviceModel; // checked by decodeJson()

export const DEVICE_MODEL: KindInfo = defineKind({
  group: DEVICES_GROUP,
  version: "v1beta1",
  kind: "DeviceModel",
  plural: "devicemodels",
  generationFields: ["spec"],
  default: (object) => object["spec"] === undefined ? { ...object, spec: {} } : object,
  validate: (object) => toFieldErrors(checkModel(model(object).spec)),
  review: (object, old, neighbours) => reviewModel(model(object), old, neighbours),
  warnDelete: ({ metadata }, neighbours) => {
    const used = usersOf(metadata, neighbours);
    if (used.length === 0) return [];
    const some = used.slice(0, WARNINGS_MAX).map((device) => `"${device.metadata.name}"`);
    const more = used.length > some.length ? ` and ${used.length - some.length} more` : "";
    return [`device model "${metadata.name}" is used by devices ${some.join(", ")}${more}`];
  },
});

function usersOf({ namespace, name }: ObjectMeta, neighbours: Neighbours): Device[] {
  const devices = neighbours.list(DEVICES_ID, namespace) as Device[]; // stored under devices
  return devices.filter(({ spec }) => spec.deviceModelRef?.name === name);
}

function reviewModel(
  { metadata, spec }: DeviceModel,
  old: KubeObject | undefined,
  neighbours: Neighbours,
): Review {
  const warnings: string[] = [];
  if (old && deepEqual(model(old).spec, spec)) return { errors: [], warnings };
  let more = 0;
  for (const device of usersOf(metadata, neighbours)) {
    const [problem] = toFieldErrors(checkAgainstModel(device.spec, spec));
    if (!problem) continue;
    if (warnings.length >= WARNINGS_MAX) more++;
    else warnings.push(`device "${device.metadata.name}" does not fit: ${toText(problem)}`);
  }
  if (more > 0) warnings.push(`${more} more devices do not fit`);
  return { errors: [], warnings };
}
