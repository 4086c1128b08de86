/**
 * One pod's part of the stats summary: its running containers, what they share, and what lies on
 * disk. CRI's figures come first; where the runtime gives none, the kernel's cgroup files.
 */
import type {
  ContainerStats as CriContainerStats,
  PodSandboxStats,
} from "../../../shared/gen/runtime/v1/api_pb.ts";
import { toMicroTime } from "../../../shared/clock.ts";
import type {
  ContainerStats,
  CpuStats,
  FsStats,
  MemoryStats,
  PodStats,
  VolumeStats,
} from "../../../shared/k8s/stats_summary.ts";
import type { ContainerStatus, Pod } from "../../../shared/k8s/types.ts";
import type { CgroupReader, CgroupUsage } from "./cgroup_usage.ts";
import type { FolderSizes } from "./folder_sizes.ts";
import {
  cpuFromCgroup,
  cpuFromCri,
  defined,
  fsOf,
  type FsRoom,
  layerFromCri,
  memoryFromCgroup,
  memoryFromCri,
  networkFromCri,
  swapFromCri,
} from "./from_cri.ts";
import type { CpuRates } from "./rates.ts";

export interface PodStatsContext {
  nowMs: number;
  rates: CpuRates;
  cgroups: CgroupReader;
  /** By container id. */
  containers: ReadonlyMap<string, CriContainerStats>;
  /** By pod uid. */
  sandboxes: ReadonlyMap<string, PodSandboxStats>;
  /** Where the pod's cgroup lies, as CRI writes a parent. */
  podCgroup: (pod: Pod) => string;
  /** Left out when only cpu and memory are asked for. */
  disk?: PodDisk;
}

/** What is needed to say what lies on disk. */
export interface PodDisk {
  sizes: FolderSizes;
  podDir: (uid: string) => string;
  podLogDir: (pod: Pod) => string;
  nodeRoom: FsRoom | undefined;
  imageRoom: FsRoom | undefined;
  signal: AbortSignal;
}

interface Run {
  name: string;
  id: string;
  startedAt: string | null;
}

/** Containers that run now, by the pod's own status. */
export function runsOf(pod: Pod): Run[] {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  return [...containerStatuses, ...initContainerStatuses].flatMap((status: ContainerStatus) => {
    const { name, containerID, state } = status;
    if (!state?.running || !containerID) return [];
    const id = containerID.slice(containerID.indexOf("://") + 3);
    return [{ name, id, startedAt: state.running.startedAt ?? null }];
  });
}

export async function podStats(pod: Pod, context: PodStatsContext): Promise<PodStats> {
  const { nowMs, rates, cgroups, disk } = context;
  const { name = "", namespace = "", uid = "" } = pod.metadata;
  const { linux } = context.sandboxes.get(uid) ?? {};
  const measured = { key: `pod/${uid}`, nowMs, rates };
  const cgroup = await cgroups.usage(context.podCgroup(pod));
  const containers = await Promise.all(runsOf(pod).map((run) => containerStats(pod, run, context)));
  const volumes = disk ? await volumeStats(pod, disk, nowMs) : undefined;
  const processes = linux?.process?.processCount;
  return defined<PodStats>({
    podRef: { name, namespace, uid },
    startTime: pod.status?.startTime ?? null,
    containers,
    cpu: cpuFromCri(linux?.cpu, measured) ?? cpuFromCgroup(cgroup, measured) ??
      sumOfCpu(containers, nowMs),
    memory: memoryFromCri(linux?.memory, nowMs) ?? memoryFromCgroup(cgroup, nowMs) ??
      sumOfMemory(containers, nowMs),
    network: networkFromCri(linux, nowMs),
    volume: volumes,
    "ephemeral-storage": disk && ephemeralOf(pod, containers, volumes ?? [], disk, nowMs),
    process_stats: processesOf(processes?.value, cgroup),
    swap: cgroup?.swapBytes === undefined
      ? undefined
      : { time: toMicroTime(nowMs), swapUsageBytes: cgroup.swapBytes },
  });
}

function processesOf(told: bigint | undefined, cgroup: CgroupUsage | undefined) {
  const count = told ? Number(told) : cgroup?.processes;
  return count === undefined ? undefined : { process_count: count };
}

async function containerStats(
  pod: Pod,
  run: Run,
  context: PodStatsContext,
): Promise<ContainerStats> {
  const { nowMs, rates, disk } = context;
  const told = context.containers.get(run.id);
  const measured = { key: `container/${run.id}`, nowMs, rates };
  const memory = memoryFromCri(told?.memory, nowMs);
  const isTold = memory !== undefined && told?.cpu !== undefined;
  const cgroup = isTold ? undefined : await containerCgroup(pod, run.id, context);
  const logs = disk && await disk.sizes.of(`${disk.podLogDir(pod)}/${run.name}`, disk.signal);
  return defined<ContainerStats>({
    name: run.name,
    startTime: run.startedAt,
    cpu: cpuFromCri(told?.cpu, measured) ?? cpuFromCgroup(cgroup, measured),
    memory: memory ?? memoryFromCgroup(cgroup, nowMs),
    rootfs: disk && layerFromCri(told?.writableLayer, disk.imageRoom, nowMs),
    logs: disk && logs && fsOf(logs, disk.nodeRoom, toMicroTime(nowMs)),
    swap: swapFromCri(told?.swap, nowMs),
  });
}

/** As cgroupfs, containerd under systemd, and CRI-O name a container's cgroup. */
async function containerCgroup(
  pod: Pod,
  id: string,
  { cgroups, podCgroup }: PodStatsContext,
): Promise<CgroupUsage | undefined> {
  const parent = podCgroup(pod);
  const names = [id, `cri-containerd-${id}.scope`, `crio-${id}.scope`];
  for (const name of names) {
    const usage = await cgroups.usage(`${parent}/${name}`);
    if (usage) return usage;
  }
  return undefined;
}

function sumOfCpu(containers: readonly ContainerStats[], nowMs: number): CpuStats | undefined {
  const all = containers.flatMap(({ cpu }) => cpu ? [cpu] : []);
  if (all.length === 0) return undefined;
  const sum = (key: "usageNanoCores" | "usageCoreNanoSeconds") =>
    all.reduce((total, cpu) => total + (cpu[key] ?? 0), 0);
  return {
    time: toMicroTime(nowMs),
    usageNanoCores: sum("usageNanoCores"),
    usageCoreNanoSeconds: sum("usageCoreNanoSeconds"),
  };
}

function sumOfMemory(
  containers: readonly ContainerStats[],
  nowMs: number,
): MemoryStats | undefined {
  const all = containers.flatMap(({ memory }) => memory ? [memory] : []);
  if (all.length === 0) return undefined;
  const sum = (key: "usageBytes" | "workingSetBytes" | "rssBytes") =>
    all.reduce((total, memory) => total + (memory[key] ?? 0), 0);
  return {
    time: toMicroTime(nowMs),
    usageBytes: sum("usageBytes"),
    workingSetBytes: sum("workingSetBytes"),
    rssBytes: sum("rssBytes"),
  };
}

/** Volumes whose bytes are the pod's own; everything else is somebody else's disk. */
function isMeasured(volume: NonNullable<Pod["spec"]["volumes"]>[number]): boolean {
  return Boolean(
    volume.emptyDir || volume.configMap || volume.secret || volume.projected || volume.downwardAPI,
  );
}

async function volumeStats(
  pod: Pod,
  { sizes, podDir, nodeRoom, signal }: PodDisk,
  nowMs: number,
): Promise<VolumeStats[]> {
  const found: VolumeStats[] = [];
  const { uid = "" } = pod.metadata;
  for (const volume of pod.spec.volumes ?? []) {
    if (!isMeasured(volume)) continue;
    const size = await sizes.of(`${podDir(uid)}/volumes/${volume.name}`, signal);
    if (size) found.push({ ...fsOf(size, nodeRoom, toMicroTime(nowMs)), name: volume.name });
  }
  return found;
}

/** Writable layers, logs, and volumes on the node's disk: what a pod's ephemeral storage is. */
function ephemeralOf(
  pod: Pod,
  containers: readonly ContainerStats[],
  volumes: readonly VolumeStats[],
  { nodeRoom }: PodDisk,
  nowMs: number,
): FsStats {
  const inMemory = new Set(
    (pod.spec.volumes ?? []).filter(({ emptyDir }) => emptyDir?.medium).map(({ name }) => name),
  );
  const parts: FsStats[] = [
    ...containers.flatMap(({ rootfs, logs }) => [rootfs, logs].filter((fs) => fs !== undefined)),
    ...volumes.filter(({ name }) => !inMemory.has(name)),
  ];
  const sum = (key: "usedBytes" | "inodesUsed") =>
    parts.reduce((total, fs) => total + (fs[key] ?? 0), 0);
  const used = { bytes: sum("usedBytes"), inodes: sum("inodesUsed") };
  return fsOf(used, nodeRoom, toMicroTime(nowMs));
}
