/**
 * What the whole machine uses: cpu, memory, swap, network, processes. From the root of the cgroups
 * where the kernel counts there, else from /proc. Pure but for the reader it is given.
 */
import type { InterfaceStats } from "../../../shared/k8s/stats_summary.ts";
import { defaultInterface, meminfoBytes } from "../parse_machine.ts";
import { type CgroupReader, type CgroupUsage, fieldOf } from "./cgroup_usage.ts";

/** Text of a file; "" when it is not there. */
export type ReadText = (path: string) => Promise<string>;

export interface MachineUsage {
  cgroup: CgroupUsage;
  memoryAvailableBytes: number;
  swap: { availableBytes: number; usedBytes: number } | undefined;
  defaultInterface: string | undefined;
  interfaces: InterfaceStats[];
  pids: { max: number; used: number };
}

export async function readMachineUsage(
  read: ReadText,
  cgroups: CgroupReader,
): Promise<MachineUsage> {
  const [root, meminfo, stat, dev, routes, pidMax, loadavg] = await Promise.all([
    cgroups.usage(""),
    read("/proc/meminfo"),
    read("/proc/stat"),
    read("/proc/net/dev"),
    read("/proc/net/route"),
    read("/proc/sys/kernel/pid_max"),
    read("/proc/loadavg"),
  ]);
  const swapTotal = meminfoBytes(meminfo, "SwapTotal");
  const swapFree = meminfoBytes(meminfo, "SwapFree");
  return {
    // the machine's limit is its memory, whatever the root of the cgroups says
    cgroup: { ...machineMemory(meminfo), ...machineCpu(stat), ...root },
    memoryAvailableBytes: meminfoBytes(meminfo, "MemAvailable"),
    swap: swapTotal > 0 ? { availableBytes: swapFree, usedBytes: swapTotal - swapFree } : undefined,
    defaultInterface: defaultInterface(routes),
    interfaces: parseNetDev(dev),
    pids: {
      max: Number(pidMax.trim()) || 0,
      used: Number(/\/(\d+)/.exec(loadavg)?.[1] ?? 0),
    },
  };
}

/** The root of cgroups v2 has no memory.current: kubelet takes total less free, as here. */
function machineMemory(meminfo: string): CgroupUsage {
  const usageBytes = meminfoBytes(meminfo, "MemTotal") - meminfoBytes(meminfo, "MemFree");
  const inactive = meminfoBytes(meminfo, "Inactive\\(file\\)");
  return {
    usageBytes,
    workingSetBytes: Math.max(0, usageBytes - inactive),
    rssBytes: meminfoBytes(meminfo, "AnonPages"),
  };
}

/** USER_HZ of every Linux that Deno runs on. */
const TICKS_PER_SECOND = 100;
/** Columns of "cpu" in /proc/stat that are work: all but idle and iowait; guests are in user. */
const BUSY_COLUMNS = [0, 1, 2, 5, 6, 7];

function machineCpu(stat: string): CgroupUsage {
  const line = stat.split("\n").find((each) => each.startsWith("cpu "));
  if (!line) return {};
  const columns = line.trim().split(/\s+/).slice(1).map(Number);
  const ticks = BUSY_COLUMNS.reduce((sum, column) => sum + (columns[column] ?? 0), 0);
  return { cpuNanoSeconds: ticks * (1e9 / TICKS_PER_SECOND) };
}

/** 64: a node with more interfaces than this shows the first ones. */
const INTERFACES_MAX = 64;
/** Of containers, and the loopback. */
const NOT_THE_NODES = /^(lo$|veth)/;

export function parseNetDev(text: string): InterfaceStats[] {
  return text.split("\n").flatMap((line): InterfaceStats[] => {
    const match = /^\s*([^:\s]+):\s*(.*)$/.exec(line);
    if (!match || NOT_THE_NODES.test(match[1]!)) return [];
    const n = match[2]!.trim().split(/\s+/).map(Number);
    const [rxBytes = 0, , rxErrors = 0] = n;
    return [{ name: match[1]!, rxBytes, rxErrors, txBytes: n[8] ?? 0, txErrors: n[10] ?? 0 }];
  }).slice(0, INTERFACES_MAX);
}

/** This program, from /proc/self: its cpu time; undefined where the kernel does not say. */
export function ownCpuNanos(procSelfStat: string): number | undefined {
  const behindName = procSelfStat.slice(procSelfStat.lastIndexOf(")") + 2).split(" ");
  const [user, system] = [Number(behindName[11]), Number(behindName[12])];
  return Number.isFinite(user + system) ? (user! + system!) * (1e9 / TICKS_PER_SECOND) : undefined;
}

/** When the kernel started, in seconds since 1970; undefined where it does not say. */
export function bootSeconds(stat: string): number | undefined {
  return fieldOf(stat, "btime");
}
