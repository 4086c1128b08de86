/** The Lease: who holds it, for how long. Nodes renew theirs as a heartbeat. */
import type { KubeObject, Lease } from "../../../shared/k8s/types.ts";
import { checkNotNegative } from "./checks.ts";
import { defineKind } from "./define_kind.ts";
import { type FieldError, invalidValue } from "./field_error.ts";
import type { KindInfo } from "./kind_info.ts";

export const LEASE: KindInfo = defineKind({
  group: "coordination.k8s.io",
  kind: "Lease",
  plural: "leases",
  createOnUpdate: true,
  validate: (object: KubeObject) => {
    const errors: FieldError[] = [];
    const spec = (object as Lease).spec ?? {}; // its shape was checked by decodeJson()
    const seconds = spec.leaseDurationSeconds;
    if (seconds !== undefined && seconds <= 0) {
      errors.push(invalidValue("spec.leaseDurationSeconds", seconds, "must be greater than 0"));
    }
    checkNotNegative(errors, "spec.leaseTransitions", spec.leaseTransitions);
    return errors;
  },
});
