/** CRI's stats, and what cgroup files say, in the summary's shapes. Pure. */
import type {
  CpuUsage,
  FilesystemUsage,
  LinuxPodSandboxStats,
  MemoryUsage,
  NetworkInterfaceUsage,
  SwapUsage,
} from "../../../shared/gen/runtime/v1/api_pb.ts";
import { toMicroTime } from "../../../shared/clock.ts";
import type {
  CpuStats,
  FsStats,
  InterfaceStats,
  MemoryStats,
  NetworkStats,
  SwapStats,
} from "../../../shared/k8s/stats_summary.ts";
import type { CgroupUsage } from "./cgroup_usage.ts";
import type { CpuRates } from "./rates.ts";

const NS_PER_MS = 1_000_000;

interface Wrapped {
  value: bigint;
}

/** Without the fields that are undefined. */
export function defined<T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T {
  const known = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(known) as T; // exactly the fields of T that have a value
}

const number = (wrapped: Wrapped | undefined) =>
  wrapped === undefined ? undefined : Number(wrapped.value);

export function timeOf(timestampNs: bigint, nowMs: number): string {
  return toMicroTime(timestampNs > 0n ? Number(timestampNs) / NS_PER_MS : nowMs);
}

/** Who is measured, for the rate, and when. */
export interface Measured {
  key: string;
  nowMs: number;
  rates: CpuRates;
}

export function cpuFromCri(cpu: CpuUsage | undefined, to: Measured): CpuStats | undefined {
  const coreNanos = number(cpu?.usageCoreNanoSeconds);
  if (!cpu || coreNanos === undefined) return undefined;
  const atNs = cpu.timestamp > 0n ? Number(cpu.timestamp) : to.nowMs * NS_PER_MS;
  const counted = to.rates.rate(to.key, atNs, coreNanos);
  const given = number(cpu.usageNanoCores);
  return defined<CpuStats>({
    time: timeOf(cpu.timestamp, to.nowMs),
    // containerd before 1.7 always gives 0 for the rate
    usageNanoCores: given ? given : counted,
    usageCoreNanoSeconds: coreNanos,
  });
}

export function memoryFromCri(
  memory: MemoryUsage | undefined,
  nowMs: number,
): MemoryStats | undefined {
  if (!memory?.workingSetBytes) return undefined;
  return defined<MemoryStats>({
    time: timeOf(memory.timestamp, nowMs),
    availableBytes: number(memory.availableBytes) || undefined,
    usageBytes: number(memory.usageBytes),
    workingSetBytes: number(memory.workingSetBytes),
    rssBytes: number(memory.rssBytes),
    pageFaults: number(memory.pageFaults),
    majorPageFaults: number(memory.majorPageFaults),
  });
}

export function swapFromCri(swap: SwapUsage | undefined, nowMs: number): SwapStats | undefined {
  if (!swap) return undefined;
  return defined<SwapStats>({
    time: timeOf(swap.timestamp, nowMs),
    swapAvailableBytes: number(swap.swapAvailableBytes),
    swapUsageBytes: number(swap.swapUsageBytes),
  });
}

export function cpuFromCgroup(
  usage: CgroupUsage | undefined,
  { key, nowMs, rates }: Measured,
): CpuStats | undefined {
  const coreNanos = usage?.cpuNanoSeconds;
  if (coreNanos === undefined) return undefined;
  return defined<CpuStats>({
    time: toMicroTime(nowMs),
    usageNanoCores: rates.rate(key, nowMs * NS_PER_MS, coreNanos),
    usageCoreNanoSeconds: coreNanos,
  });
}

export function memoryFromCgroup(
  usage: CgroupUsage | undefined,
  nowMs: number,
): MemoryStats | undefined {
  if (usage?.workingSetBytes === undefined) return undefined;
  const { limitBytes, workingSetBytes } = usage;
  return defined<MemoryStats>({
    time: toMicroTime(nowMs),
    availableBytes: limitBytes === undefined
      ? undefined
      : Math.max(0, limitBytes - workingSetBytes),
    usageBytes: usage.usageBytes,
    workingSetBytes,
    rssBytes: usage.rssBytes,
    pageFaults: usage.pageFaults,
    majorPageFaults: usage.majorPageFaults,
  });
}

export function networkFromCri(
  linux: LinuxPodSandboxStats | undefined,
  nowMs: number,
): NetworkStats | undefined {
  const network = linux?.network;
  if (!network?.defaultInterface) return undefined;
  const first = interfaceOf(network.defaultInterface);
  return {
    time: timeOf(network.timestamp, nowMs),
    ...first,
    interfaces: [first, ...network.interfaces.map(interfaceOf)],
  };
}

function interfaceOf(usage: NetworkInterfaceUsage): InterfaceStats {
  return defined<InterfaceStats>({
    name: usage.name,
    rxBytes: number(usage.rxBytes),
    rxErrors: number(usage.rxErrors),
    txBytes: number(usage.txBytes),
    txErrors: number(usage.txErrors),
  });
}

/** Size and room of a file system. */
export interface FsRoom {
  capacityBytes: number;
  availableBytes: number;
  /** More than is available where root keeps a part for itself. */
  freeBytes: number;
  inodes: number;
  inodesFree: number;
}

/** What something uses, on the file system it lies on. */
export function fsOf(
  used: { bytes: number | undefined; inodes: number | undefined },
  room: FsRoom | undefined,
  time: string,
): FsStats {
  return defined<FsStats>({
    time,
    availableBytes: room?.availableBytes,
    capacityBytes: room?.capacityBytes,
    usedBytes: used.bytes,
    inodesFree: room?.inodesFree,
    inodes: room?.inodes,
    inodesUsed: used.inodes,
  });
}

/** A file system as a whole. */
export function wholeFs(room: FsRoom, time: string): FsStats {
  const used = { bytes: room.capacityBytes - room.freeBytes, inodes: undefined };
  return { ...fsOf(used, room, time), inodesUsed: room.inodes - room.inodesFree };
}

export function layerFromCri(
  layer: FilesystemUsage | undefined,
  room: FsRoom | undefined,
  nowMs: number,
): FsStats | undefined {
  if (!layer) return undefined;
  const used = { bytes: number(layer.usedBytes), inodes: number(layer.inodesUsed) };
  return fsOf(used, room, timeOf(layer.timestamp, nowMs));
}
