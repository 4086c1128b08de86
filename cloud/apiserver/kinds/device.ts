/**
 * The Device of devices.kubeedge.io/v1beta1, the stored form of every Device and DeviceStatus.
 * Status is what its node reports, and the conditions the cloud has found. What is wrong in itself
 * is refused; what does not fit a model that is there is refused too; a model that is not there yet
 * is a warning, because manifests apply in any order. What KubeEdge takes and nobody will act upon
 * is a warning as well, so that existing manifests apply; a change that asks a property for a value
 * which its model calls read-only is refused.
 */
import { checkAgainstModel } from "../../../shared/devices/check_against_model.ts";
import { checkDevice, checkStatus } from "../../../shared/devices/check_device.ts";
import { deepEqual } from "../../../shared/json/json.ts";
import type { Device, DeviceModel } from "../../../shared/k8s/devices.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { defineKind } from "./define_kind.ts";
import { toAdvice, toFieldError, toFieldErrors } from "./device_problems.ts";
import { type FieldError, invalidValue } from "./field_error.ts";
import type { KindInfo, Neighbours, Review } from "./kind_info.ts";
import { dnsSubdomainProblem } from "./names.ts";

export const DEVICES_GROUP = "devices.kubeedge.io";
export const MODELS_ID = { group: DEVICES_GROUP, resource: "devicemodels" } as const;

/** Cycles are milliseconds; manifests written in nanoseconds poll once in months. */
const CYCLE_MS_PLAUSIBLE = 86_400_000;
const WARNINGS_MAX = 5;

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
    "status.state": (object) => device(object).status?.state,
  },
  default: (object) => withStateReport(object["spec"] ? object : { ...object, spec: {} }),
  prepareCreate: ({ status: _reported, ...object }) => object as KubeObject, // nodes report it
  validate: (object) => [...toFieldErrors(checkDevice(device(object).spec)), ...checkNode(object)],
  validateSubresource: (object) => toFieldErrors(checkStatus(device(object).status ?? {})),
  review: (object, old, neighbours) => reviewDevice(device(object), old, neighbours),
});

/** Up to KubeEdge 1.22 manifests said in `status` how the state is to be reported. */
function withStateReport(object: KubeObject): KubeObject {
  const { spec, status } = device(object);
  const { reportToCloud, reportCycle } = status ?? {};
  if (spec.stateReport || (reportToCloud === undefined && reportCycle === undefined)) return object;
  const stateReport = {
    ...(reportToCloud === undefined ? {} : { reportToCloud }),
    ...(reportCycle === undefined ? {} : { reportCycle }),
  };
  return { ...object, spec: { ...spec, stateReport } } as KubeObject;
}

function checkNode(object: KubeObject): FieldError[] {
  const { nodeName } = device(object).spec;
  const problem = nodeName ? dnsSubdomainProblem(nodeName) : undefined;
  return problem ? [invalidValue("spec.nodeName", nodeName, problem)] : [];
}

function reviewDevice(
  { metadata, spec }: Device,
  old: KubeObject | undefined,
  neighbours: Neighbours,
): Review {
  // what was stored before its model changed stays editable in everything but its spec
  if (old && deepEqual(device(old).spec, spec)) return { errors: [], warnings: [] };
  const warnings = [...cycleWarnings({ metadata, spec }), ...toAdvice(checkDevice(spec))];
  const name = spec.deviceModelRef?.name ?? "";
  const model = neighbours.find(MODELS_ID, metadata.namespace, name) as DeviceModel | undefined;
  if (!model) {
    if (name === "") return { errors: [], warnings };
    warnings.push(`spec.deviceModelRef.name: device model "${name}" does not exist yet`);
    return { errors: [], warnings };
  }
  const before = old ? checkAgainstModel(device(old).spec, model.spec) : [];
  const problems = checkAgainstModel(spec, model.spec)
    .filter((problem) => !before.some((known) => deepEqual(known, problem)));
  const asked = old ? problems.filter(({ reason }) => reason === "forbidden") : [];
  return {
    errors: [...toFieldErrors(problems), ...asked.map(toFieldError)],
    warnings: [...warnings, ...toAdvice(problems)],
  };
}

function cycleWarnings({ spec }: Device): string[] {
  const warnings: string[] = [];
  for (const [at, property] of (spec.properties ?? []).entries()) {
    for (const key of ["reportCycle", "collectCycle"] as const) {
      const value = property[key] ?? 0;
      if (value <= CYCLE_MS_PLAUSIBLE || warnings.length >= WARNINGS_MAX) continue;
      const days = Math.round(value / CYCLE_MS_PLAUSIBLE);
      warnings.push(
        `spec.properties[${at}].${key}: ${value} is in milliseconds: every ${days} days`,
      );
    }
  }
  return warnings;
}
