/**
 * What a pod as a whole may use, as kubelet sets it on the pod's own cgroup, and how that is
 * written in each version of cgroups and in the properties of a systemd slice. Pure.
 */
import type { DBusValue } from "../../shared/dbus/marshal.ts";
import type { Container, Pod } from "../../shared/k8s/types.ts";
import { cpuQuota, cpuShares } from "./cgroup.ts";
import { amountOf, podRequests, type QosClass, qosClass } from "./qos.ts";

/** 0 stands for "no limit" in all of them but the shares and huge pages. */
export interface GroupLimits {
  cpuShares: number;
  cpuQuotaUs: number;
  memoryBytes: number;
  pidsMax: number;
  /** By page size as Kubernetes writes it ("2Mi"): what is not asked for may not be used. */
  hugepages: Readonly<Record<string, number>>;
}

const CPU_PERIOD_US = 100_000;

/** `pidsMax` <= 0: as many as it likes. `pageSizes`: those the kernel has. */
export function podLimits(
  pod: Pod,
  { pidsMax, pageSizes }: { pidsMax: number; pageSizes: readonly string[] },
): GroupLimits {
  const qos = qosClass(pod);
  const isBestEffort = qos === "BestEffort";
  const cpu = isBestEffort ? 0 : wholeLimit(pod, "cpu");
  return {
    cpuShares: cpuShares(isBestEffort ? 0 : podRequests(pod).cpuMillis),
    cpuQuotaUs: cpu > 0 ? cpuQuota(cpu) : 0,
    memoryBytes: isBestEffort ? 0 : wholeLimit(pod, "memory"),
    pidsMax: Math.max(0, pidsMax),
    hugepages: Object.fromEntries(
      pageSizes.map((size) => [size, sumOf(pod, `hugepages-${size}`)]),
    ),
  };
}

/** What a class of pods shares: as much as its pods ask for together. */
export function classLimits(qos: QosClass, pods: readonly Pod[]): GroupLimits {
  const millis = qos === "Burstable"
    ? pods.filter((pod) => qosClass(pod) === qos)
      .reduce((sum, pod) => sum + podRequests(pod).cpuMillis, 0)
    : 0;
  return {
    cpuShares: cpuShares(millis),
    cpuQuotaUs: 0,
    memoryBytes: 0,
    pidsMax: 0,
    hugepages: {},
  };
}

/** The most the pod needs at any time; 0 when a container states no limit: then there is none. */
function wholeLimit(pod: Pod, resource: string): number {
  const all = [...pod.spec.containers, ...pod.spec.initContainers ?? []];
  return all.every((c) => (amountOf(c, "limits", resource) ?? 0) > 0) ? sumOf(pod, resource) : 0;
}

function sumOf(pod: Pod, resource: string): number {
  const limit = (c: Container) => amountOf(c, "limits", resource) ?? 0;
  const init = pod.spec.initContainers ?? [];
  const sidecars = init.filter((c) => c.restartPolicy === "Always");
  const together = [...pod.spec.containers, ...sidecars].reduce((sum, c) => sum + limit(c), 0);
  return Math.max(together, ...init.map(limit));
}

/** One file of a cgroup; `controller` names its hierarchy, which only version 1 has. */
export interface CgroupWrite {
  controller: "cpu" | "memory" | "pids" | "hugetlb";
  file: string;
  text: string;
}

export function cgroupWrites(limits: GroupLimits, isV2: boolean): CgroupWrite[] {
  const { cpuQuotaUs, memoryBytes, pidsMax, hugepages } = limits;
  const writes: CgroupWrite[] = isV2
    ? [
      { controller: "cpu", file: "cpu.weight", text: String(cpuWeight(limits.cpuShares)) },
      {
        controller: "cpu",
        file: "cpu.max",
        text: `${cpuQuotaUs > 0 ? cpuQuotaUs : "max"} ${CPU_PERIOD_US}`,
      },
    ]
    : [
      { controller: "cpu", file: "cpu.shares", text: String(limits.cpuShares) },
      { controller: "cpu", file: "cpu.cfs_period_us", text: String(CPU_PERIOD_US) },
      {
        controller: "cpu",
        file: "cpu.cfs_quota_us",
        text: String(cpuQuotaUs > 0 ? cpuQuotaUs : -1),
      },
    ];
  if (memoryBytes > 0) {
    const file = isV2 ? "memory.max" : "memory.limit_in_bytes";
    writes.push({ controller: "memory", file, text: String(memoryBytes) });
  }
  if (pidsMax > 0) writes.push({ controller: "pids", file: "pids.max", text: String(pidsMax) });
  for (const [size, bytes] of Object.entries(hugepages)) {
    const file = `hugetlb.${kernelPageSize(size)}.${isV2 ? "max" : "limit_in_bytes"}`;
    writes.push({ controller: "hugetlb", file, text: String(bytes) });
  }
  return writes;
}

/** The kernel, and CRI, write "2MB" for what Kubernetes calls "2Mi". */
export function kernelPageSize(size: string): string {
  return size.replace(/i$/, "B");
}

/** As runc and kubelet turn shares (2 to 262144) into a weight (1 to 10000). */
export function cpuWeight(shares: number): number {
  return 1 + Math.floor(((shares - 2) * 9_999) / 262_142);
}

/** "/kubepods.slice/kubepods-burstable.slice/…": the units of the way, the outermost first. */
export function slicesOf(parent: string): string[] {
  return parent.split("/").filter((part) => part.endsWith(".slice"));
}

/** Properties for StartTransientUnit, signature a(sv). */
export function sliceProperties(limits: GroupLimits, isV2: boolean): DBusValue[] {
  const number = (name: string, value: number): DBusValue => [name, {
    type: "t",
    value: BigInt(value),
  }];
  const yes = (name: string): DBusValue => [name, { type: "b", value: true }];
  const { cpuQuotaUs, memoryBytes, pidsMax } = limits;
  const microsPerSecond = Math.ceil(cpuQuotaUs * (1_000_000 / CPU_PERIOD_US) / 10_000) * 10_000;
  return [
    ["Description", { type: "s", value: "Pods run by skerry-edge" }],
    ["DefaultDependencies", { type: "b", value: false }],
    yes("CPUAccounting"),
    yes("MemoryAccounting"),
    yes("TasksAccounting"),
    isV2 ? number("CPUWeight", cpuWeight(limits.cpuShares)) : number("CPUShares", limits.cpuShares),
    ...(cpuQuotaUs > 0 ? [number("CPUQuotaPerSecUSec", microsPerSecond)] : []),
    ...(memoryBytes > 0 ? [number(isV2 ? "MemoryMax" : "MemoryLimit", memoryBytes)] : []),
    ...(pidsMax > 0 ? [number("TasksMax", pidsMax)] : []),
  ];
}
