/**
 * The machine's part of the stats summary: the node as a whole, its file systems, and the two
 * things on it that are not pods: this program, and all pods together.
 */
import { toMicroTime, toTime } from "../../../shared/clock.ts";
import type { ContainerStats, NodeStats } from "../../../shared/k8s/stats_summary.ts";
import type { CgroupReader } from "./cgroup_usage.ts";
import {
  cpuFromCgroup,
  defined,
  fsOf,
  type FsRoom,
  type Measured,
  memoryFromCgroup,
  wholeFs,
} from "./from_cri.ts";
import { bootSeconds, ownCpuNanos, readMachineUsage, type ReadText } from "./machine_usage.ts";
import type { CpuRates } from "./rates.ts";

export interface NodeStatsSources {
  nodeName: string;
  read: ReadText;
  cgroups: CgroupReader;
  rates: CpuRates;
  /** The cgroup all pods lie in, with either driver. */
  podsCgroups: readonly string[];
  residentBytes: () => number;
}

/** The file systems under the node's data and under images. */
export interface NodeRooms {
  node: FsRoom | undefined;
  images: { room: FsRoom | undefined; usedBytes: number; inodesUsed: number } | undefined;
}

export async function nodeStats(
  sources: NodeStatsSources,
  rooms: NodeRooms,
  nowMs: number,
): Promise<NodeStats> {
  const { nodeName, read, cgroups, rates } = sources;
  const [usage, stat] = await Promise.all([
    readMachineUsage(read, cgroups),
    read("/proc/stat"),
  ]);
  const time = toMicroTime(nowMs);
  const measured: Measured = { key: "node", nowMs, rates };
  const memory = memoryFromCgroup({ ...usage.cgroup }, nowMs);
  const first = usage.interfaces.find(({ name }) => name === usage.defaultInterface);
  const { images } = rooms;
  const imageFs = images &&
    fsOf({ bytes: images.usedBytes, inodes: images.inodesUsed }, images.room, time);
  return defined<NodeStats>({
    nodeName,
    systemContainers: await systemContainers(sources, nowMs),
    startTime: toTime((bootSeconds(stat) ?? 0) * 1_000),
    cpu: cpuFromCgroup(usage.cgroup, measured),
    memory: memory && { ...memory, availableBytes: usage.memoryAvailableBytes },
    network: { time, ...first, interfaces: usage.interfaces },
    fs: rooms.node && wholeFs(rooms.node, time),
    runtime: imageFs && { imageFs, containerFs: imageFs },
    rlimit: { time, maxpid: usage.pids.max, curproc: usage.pids.used },
    swap: usage.swap && {
      time,
      swapAvailableBytes: usage.swap.availableBytes,
      swapUsageBytes: usage.swap.usedBytes,
    },
  });
}

async function systemContainers(
  { read, cgroups, rates, podsCgroups, residentBytes }: NodeStatsSources,
  nowMs: number,
): Promise<ContainerStats[]> {
  const time = toMicroTime(nowMs);
  const all: ContainerStats[] = [];
  for (const path of podsCgroups) {
    const usage = await cgroups.usage(path);
    if (usage?.workingSetBytes === undefined) continue;
    all.push(defined<ContainerStats>({
      name: "pods",
      startTime: null,
      cpu: cpuFromCgroup(usage, { key: "pods", nowMs, rates }),
      memory: memoryFromCgroup(usage, nowMs),
    }));
    break;
  }
  const cpuNanoSeconds = ownCpuNanos(await read("/proc/self/stat"));
  const bytes = residentBytes();
  all.push(defined<ContainerStats>({
    name: "kubelet",
    startTime: null,
    cpu: cpuNanoSeconds === undefined
      ? undefined
      : cpuFromCgroup({ cpuNanoSeconds }, { key: "kubelet", nowMs, rates }),
    memory: { time, usageBytes: bytes, workingSetBytes: bytes, rssBytes: bytes },
  }));
  return all;
}
