/**
 * Whether a container that ended is to run again: its own rules first, then its own policy, then
 * the pod's. Pure.
 */
import type { Container, Pod } from "../../shared/k8s/types.ts";

export function restartsAfter(pod: Pod, container: Container, exitCode: number): boolean {
  for (const rule of container.restartPolicyRules ?? []) {
    const isIn = (rule.exitCodes?.values ?? []).includes(exitCode);
    const matches = rule.exitCodes?.operator === "NotIn" ? !isIn : isIn;
    if (rule.exitCodes && matches) return rule.action === "Restart";
  }
  const policy = container.restartPolicy ?? pod.spec.restartPolicy ?? "Always";
  if (policy === "Never") return false;
  return policy !== "OnFailure" || exitCode !== 0;
}
