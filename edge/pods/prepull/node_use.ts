/** How full the node is, for jobs that are not to be done on a busy one. Missing files refuse. */
import type { Clock } from "../../../shared/clock.ts";
import { AppError } from "../../../shared/errors.ts";
import type { PrePullCheck } from "../../../shared/k8s/prepull.ts";
import type { ContainerRuntime } from "../../cri/port.ts";
import type { DiskUse } from "../housekeeping/plan_image_gc.ts";

export type NodeUse = (item: PrePullCheck, signal: AbortSignal) => Promise<number>;

/** Between the two looks that tell how busy the processors are. */
const CPU_LOOK_MS = 1_000;

export interface NodeUseOptions {
  runtime: ContainerRuntime;
  clock: Clock;
  diskUse: ((path: string) => Promise<DiskUse>) | undefined;
  readText?: (path: string) => Promise<string>;
}

/** Gives the percentage in use of one of what a job may ask for. */
export function nodeUse(options: NodeUseOptions): NodeUse {
  const { clock, readText = Deno.readTextFile } = options;
  return async (item, signal) => {
    if (item === "disk") return await imageDiskPercent(options, signal);
    if (item === "mem") return memoryPercent(await readText("/proc/meminfo"));
    const before = cpuTimes(await readText("/proc/stat"));
    await clock.sleep(CPU_LOOK_MS, signal);
    const after = cpuTimes(await readText("/proc/stat"));
    const all = after.all - before.all;
    return all > 0 ? 100 * (1 - (after.idle - before.idle) / all) : 0;
  };
}

async function imageDiskPercent(
  { runtime, diskUse }: NodeUseOptions,
  signal: AbortSignal,
): Promise<number> {
  const { imageFilesystems } = await runtime.imageFsInfo(signal);
  const mountpoint = imageFilesystems[0]?.fsId?.mountpoint;
  if (!mountpoint || !diskUse) return 0;
  const { capacityBytes, availableBytes } = await diskUse(mountpoint);
  return capacityBytes > 0 ? 100 * (1 - availableBytes / capacityBytes) : 0;
}

export function memoryPercent(meminfo: string): number {
  const kib = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(meminfo)?.[1]);
  const used = 100 * (1 - kib("MemAvailable") / kib("MemTotal"));
  if (Number.isNaN(used)) throw new AppError("internal", "Cannot read /proc/meminfo");
  return used;
}

export function cpuTimes(stat: string): { all: number; idle: number } {
  const fields = /^cpu\s+(.*)$/m.exec(stat)?.[1]?.trim().split(/\s+/).map(Number) ?? [];
  // user nice system idle iowait irq softirq steal; guest time is in user already
  const all = fields.slice(0, 8).reduce((sum, ticks) => sum + ticks, 0);
  return { all, idle: (fields[3] ?? 0) + (fields[4] ?? 0) };
}
