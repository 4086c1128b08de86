/** Where a pod's cgroup lies and what its containers may use, in CRI's terms. Pure. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { LinuxContainerResourcesSchema } from "../../shared/gen/runtime/v1/api_pb.ts";
import type { Container, Pod } from "../../shared/k8s/types.ts";
import { amountOf, oomScore, overheadOf, type QosClass, qosClass } from "./qos.ts";

export type CgroupDriver = "cgroupfs" | "systemd";

/** What of the host decides resource settings. */
export interface HostFacts {
  memoryBytes: number;
  cgroupV2: boolean;
  /** The kernel can limit memory and swap together. */
  swapLimits: boolean;
  /** Paths to hide besides the usual ones: /sys/devices/system/cpu/cpuN/thermal_throttle. */
  maskedPaths: readonly string[];
  /** Sizes of huge pages the kernel has: "2Mi". */
  pageSizes?: readonly string[];
}

export type Resources = MessageInitShape<typeof LinuxContainerResourcesSchema>;

const CPU_PERIOD_US = 100_000;
const CPU_QUOTA_US_MIN = 1_000;
const CPU_SHARES_MIN = 2;
const CPU_SHARES_MAX = 262_144;

export function cgroupParent(pod: Pod, driver: CgroupDriver): string {
  return parentOf(qosClass(pod), driver, pod.metadata.uid ?? "");
}

/** Every place a pod's cgroup may lie, whatever its class was and the driver is. */
export function cgroupParents(uid: string): string[] {
  const classes: QosClass[] = ["Guaranteed", "Burstable", "BestEffort"];
  const drivers: CgroupDriver[] = ["cgroupfs", "systemd"];
  return drivers.flatMap((driver) => classes.map((qos) => parentOf(qos, driver, uid)));
}

function parentOf(qos: QosClass, driver: CgroupDriver, uid: string): string {
  const level = qos === "Guaranteed" ? "" : qos.toLowerCase();
  if (driver === "cgroupfs") {
    return level ? `/kubepods/${level}/pod${uid}` : `/kubepods/pod${uid}`;
  }
  const unit = `pod${uid.replaceAll("-", "_")}.slice`;
  return level
    ? `/kubepods.slice/kubepods-${level}.slice/kubepods-${level}-${unit}`
    : `/kubepods.slice/kubepods-${unit}`;
}

export function cpuShares(millis: number): number {
  if (millis <= 0) return CPU_SHARES_MIN;
  const shares = Math.floor((millis * 1024) / 1000);
  return Math.min(CPU_SHARES_MAX, Math.max(CPU_SHARES_MIN, shares));
}

export function cpuQuota(millis: number): number {
  if (millis <= 0) return 0;
  return Math.max(CPU_QUOTA_US_MIN, Math.floor((millis * CPU_PERIOD_US) / 1000));
}

export function containerResources(pod: Pod, container: Container, host: HostFacts): Resources {
  const memory = amountOf(container, "limits", "memory") ?? 0;
  return {
    cpuPeriod: BigInt(CPU_PERIOD_US),
    cpuQuota: BigInt(cpuQuota(amountOf(container, "limits", "cpu") ?? 0)),
    cpuShares: BigInt(cpuShares(amountOf(container, "requests", "cpu") ?? 0)),
    memoryLimitInBytes: BigInt(memory),
    memorySwapLimitInBytes: BigInt(host.swapLimits ? memory : 0),
    oomScoreAdj: BigInt(oomScore(pod, container, host.memoryBytes)),
    ...hugepageLimits(container),
    ...(host.cgroupV2 ? { unified: { "memory.oom.group": "1" } } : {}),
  };
}

/** What the pod's RuntimeClass says the sandbox itself takes. */
export function sandboxOverhead(pod: Pod): Resources {
  const cpuMillis = overheadOf(pod, "cpu");
  const memoryBytes = overheadOf(pod, "memory");
  if (cpuMillis + memoryBytes === 0) return {};
  return {
    cpuPeriod: BigInt(CPU_PERIOD_US),
    cpuQuota: BigInt(cpuQuota(cpuMillis)),
    cpuShares: BigInt(cpuShares(cpuMillis)),
    memoryLimitInBytes: BigInt(memoryBytes),
  };
}

const HUGEPAGES = "hugepages-";

/** Only for containers that ask for huge pages: not every kernel can limit them. */
function hugepageLimits(container: Container): Pick<Resources, "hugepageLimits"> {
  const limits = Object.keys(container.resources?.limits ?? {})
    .filter((resource) => resource.startsWith(HUGEPAGES))
    .map((resource) => ({
      pageSize: resource.slice(HUGEPAGES.length).replace(/i$/, "B"),
      limit: BigInt(amountOf(container, "limits", resource) ?? 0),
    }));
  return limits.length > 0 ? { hugepageLimits: limits } : {};
}

/** The sum over the containers; a limit counts only when every container has it. */
export function sandboxResources(pod: Pod): Resources {
  const sum = (kind: "requests" | "limits", resource: string) => {
    const amounts = pod.spec.containers.map((c) => amountOf(c, kind, resource));
    if (kind === "limits" && amounts.some((a) => !a)) return 0;
    return amounts.reduce((a: number, b) => a + (b ?? 0), 0);
  };
  return {
    cpuPeriod: BigInt(CPU_PERIOD_US),
    cpuQuota: BigInt(cpuQuota(sum("limits", "cpu"))),
    cpuShares: BigInt(cpuShares(sum("requests", "cpu"))),
    memoryLimitInBytes: BigInt(sum("limits", "memory")),
  };
}
