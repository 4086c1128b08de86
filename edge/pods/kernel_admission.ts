/**
 * What a pod asks of the kernel that this node refuses: kernel parameters that are not fenced off
 * from the other pods (kubelet's list of safe ones, and what the node's configuration adds), and
 * AppArmor profiles where the kernel has no AppArmor. Kubelet's reasons and words. Pure.
 */
import type { Pod, SecurityProfile } from "../../shared/k8s/types.ts";
import type { Rejection } from "./admission.ts";

/** Fenced off by a namespace of the pod, and of no weight for the node. */
const SAFE = new Set([
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ping_group_range",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.tcp_wmem",
]);
const IPC_PREFIXES = ["kernel.shm", "kernel.msg", "fs.mqueue."];

export interface KernelRules {
  /** Names, or beginnings that end with "*", besides the safe ones. */
  unsafeSysctls: readonly string[];
  hasAppArmor: boolean;
}

export function kernelRefusal(pod: Pod, rules: KernelRules): Rejection | undefined {
  for (const { name } of pod.spec.securityContext?.sysctls ?? []) {
    const problem = sysctlProblem(dotted(name), pod, rules.unsafeSysctls);
    if (problem === undefined) continue;
    const message = `Pod was rejected: forbidden sysctl: "${name}" ${problem}`;
    return { reason: "SysctlForbidden", message };
  }
  if (rules.hasAppArmor || !wantsAppArmor(pod)) return undefined;
  return {
    reason: "AppArmor",
    message: "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host",
  };
}

/** "net/ipv4/x" and "net.ipv4.x" are the same; the first separator says which is written. */
export function dotted(name: string): string {
  const slash = name.indexOf("/");
  const dot = name.indexOf(".");
  if (slash < 0 || (dot >= 0 && dot < slash)) return name;
  return name.replace(/[./]/g, (mark) => mark === "/" ? "." : "/");
}

function sysctlProblem(name: string, pod: Pod, allowed: readonly string[]): string | undefined {
  const isIpc = name === "kernel.sem" || IPC_PREFIXES.some((prefix) => name.startsWith(prefix));
  const isNet = name.startsWith("net.");
  const isAllowed = SAFE.has(name) ||
    allowed.map(dotted).some((rule) =>
      rule.endsWith("*") ? name.startsWith(rule.slice(0, -1)) : name === rule
    );
  if (!isAllowed || !(isIpc || isNet)) return "not allowlisted";
  if (isIpc && pod.spec.hostIPC) return "not allowed with host ipc enabled";
  if (isNet && pod.spec.hostNetwork) return "not allowed with host net enabled";
  return undefined;
}

function wantsAppArmor({ spec }: Pod): boolean {
  const isWanted = (profile?: SecurityProfile) =>
    profile?.type === "Localhost" || profile?.type === "RuntimeDefault";
  const all = [...spec.initContainers ?? [], ...spec.containers];
  const pods = spec.securityContext?.appArmorProfile;
  return isWanted(pods) ||
    all.some(({ securityContext }) => isWanted(securityContext?.appArmorProfile));
}
