/** A container's own restart policy and its rules by exit code; the first that fits decides. */
import type { Container } from "../../../shared/k8s/types.ts";
import { checkOneOf, checkOptionalOneOf } from "./checks.ts";
import { type FieldError, invalidValue, required } from "./field_error.ts";

const POLICIES = ["Always", "Never", "OnFailure"];
/** Kubernetes' own bounds. */
const RULES_MAX = 20;
const EXIT_CODES_MAX = 255;

export function checkRestart(errors: FieldError[], field: string, container: Container): void {
  const { restartPolicy, restartPolicyRules: rules = [] } = container;
  checkOptionalOneOf(errors, `${field}.restartPolicy`, restartPolicy, POLICIES);
  if (rules.length === 0) return;
  if (!restartPolicy) {
    const detail = "must specify restartPolicy when restart rules are used";
    errors.push(required(`${field}.restartPolicy`, detail));
  }
  if (rules.length > RULES_MAX) {
    const detail = `must have at most ${RULES_MAX} rules`;
    errors.push(invalidValue(`${field}.restartPolicyRules`, rules.length, detail));
  }
  rules.forEach((rule, index) => {
    const at = `${field}.restartPolicyRules[${index}]`;
    checkOneOf(errors, `${at}.action`, rule.action, ["Restart"]);
    if (!rule.exitCodes) {
      errors.push(required(`${at}.exitCodes`, "must be specified"));
      return;
    }
    checkOneOf(errors, `${at}.exitCodes.operator`, rule.exitCodes.operator, ["In", "NotIn"]);
    const { length = 0 } = rule.exitCodes.values ?? [];
    if (length === 0 || length > EXIT_CODES_MAX) {
      const detail = `must have 1 to ${EXIT_CODES_MAX} values`;
      errors.push(invalidValue(`${at}.exitCodes.values`, length, detail));
    }
  });
}
