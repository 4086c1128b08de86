/** Where a pod may run: node selector, node affinity, tolerations; and a node's taints. */
import { labelKeyProblem, labelValueProblem } from "../../../shared/k8s/selectors.ts";
import type {
  NodeSelectorRequirement,
  PodSpec,
  Taint,
  Toleration,
} from "../../../shared/k8s/types.ts";
import { checkName, checkOneOf, checkOptionalOneOf } from "./checks.ts";
import { duplicate, type FieldError, forbidden, invalidValue, required } from "./field_error.ts";
import { checkLabels } from "./metadata.ts";

const EFFECTS = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
const OPERATORS = ["DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"];

export function checkScheduling(errors: FieldError[], spec: PodSpec): void {
  checkLabels(errors, "spec.nodeSelector", spec.nodeSelector);
  spec.tolerations?.forEach((toleration, index) =>
    checkToleration(errors, `spec.tolerations[${index}]`, toleration)
  );
  const needed = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (!needed) return;
  const field = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution" +
    ".nodeSelectorTerms";
  const terms = needed.nodeSelectorTerms ?? [];
  if (terms.length === 0) {
    errors.push(required(field, "must have at least one node selector term"));
  }
  terms.forEach((term, index) => {
    for (const key of ["matchExpressions", "matchFields"] as const) {
      term[key]?.forEach((requirement, position) =>
        checkRequirement(errors, `${field}[${index}].${key}[${position}]`, requirement)
      );
    }
  });
}

function checkRequirement(
  errors: FieldError[],
  field: string,
  requirement: NodeSelectorRequirement,
): void {
  const { operator, values = [] } = requirement;
  checkName(errors, `${field}.key`, requirement.key, labelKeyProblem);
  checkOneOf(errors, `${field}.operator`, operator, OPERATORS);
  if ((operator === "In" || operator === "NotIn") && values.length === 0) {
    const detail = "must be specified when `operator` is 'In' or 'NotIn'";
    errors.push(required(`${field}.values`, detail));
  }
  if ((operator === "Exists" || operator === "DoesNotExist") && values.length > 0) {
    const detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
    errors.push(forbidden(`${field}.values`, detail));
  }
  if ((operator === "Gt" || operator === "Lt") && values.length !== 1) {
    const detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
    errors.push(required(`${field}.values`, detail));
  }
}

function checkToleration(errors: FieldError[], field: string, toleration: Toleration): void {
  const { key, operator, value, effect, tolerationSeconds } = toleration;
  if (key) checkName(errors, `${field}.key`, key, labelKeyProblem);
  else if (operator !== "Exists") {
    const detail = 'operator must be Exists when `key` is empty, which means "match all values ' +
      'and all keys"';
    errors.push(invalidValue(`${field}.operator`, operator ?? "", detail));
  }
  checkOptionalOneOf(errors, `${field}.operator`, operator, ["Equal", "Exists"]);
  if (operator === "Exists" && value) {
    const detail = "value must be empty when `operator` is 'Exists'";
    errors.push(invalidValue(`${field}.operator`, value, detail));
  }
  const problem = value ? labelValueProblem(value) : undefined;
  if (problem) errors.push(invalidValue(`${field}.value`, value, problem));
  checkOptionalOneOf(errors, `${field}.effect`, effect, EFFECTS);
  if (tolerationSeconds !== undefined && effect !== "NoExecute") {
    const detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
    errors.push(invalidValue(`${field}.effect`, effect ?? "", detail));
  }
}

export function checkTaints(errors: FieldError[], field: string, taints: readonly Taint[]): void {
  const seen = new Set<string>();
  taints.forEach((taint, index) => {
    const at = `${field}[${index}]`;
    checkName(errors, `${at}.key`, taint.key, labelKeyProblem);
    const problem = taint.value ? labelValueProblem(taint.value) : undefined;
    if (problem) errors.push(invalidValue(`${at}.value`, taint.value, problem));
    checkOneOf(errors, `${at}.effect`, taint.effect, EFFECTS);
    const identity = `${taint.key}:${taint.effect}`;
    if (seen.has(identity)) errors.push(duplicate(at, taint));
    seen.add(identity);
  });
}
