/** The Event of core/v1. Agents create and count them; an update may create one that expired. */
import type { Event, KubeObject } from "../../../shared/k8s/types.ts";
import { defineKind } from "./define_kind.ts";
import { type FieldError, invalidValue } from "./field_error.ts";
import type { KindInfo } from "./kind_info.ts";
import { pathSegmentProblem } from "./names.ts";

const event = (object: KubeObject) => object as Event; // its shape was checked by decodeJson()

const REFERENCE_FIELDS = [
  "kind",
  "namespace",
  "name",
  "uid",
  "apiVersion",
  "resourceVersion",
  "fieldPath",
] as const;

export const EVENT: KindInfo = defineKind({
  kind: "Event",
  plural: "events",
  shortNames: ["ev"],
  nameRule: pathSegmentProblem,
  createOnUpdate: true,
  fields: {
    ...Object.fromEntries(REFERENCE_FIELDS.map((key) => [
      `involvedObject.${key}`,
      (object: KubeObject) => event(object).involvedObject?.[key],
    ])),
    reason: (object) => event(object).reason,
    reportingComponent: (object) => event(object).reportingComponent,
    source: (object) => event(object).source?.component || event(object).reportingComponent,
    type: (object) => event(object).type,
  },
  validate: (object) => {
    const errors: FieldError[] = [];
    const { involvedObject, metadata } = event(object);
    const involved = involvedObject?.namespace ?? "";
    // Events about what has no namespace (nodes) live in "default"
    const fits = involved === ""
      ? metadata.namespace === "default" || metadata.namespace === "kube-system"
      : involved === metadata.namespace;
    if (!fits) {
      const detail = "does not match event.namespace";
      errors.push(invalidValue("involvedObject.namespace", involved, detail));
    }
    return errors;
  },
});
