/**
 * What a cgroup has used, from its files, version 1 and 2. A file that is missing is a fact of some
 * kernel; a cgroup of which nothing can be read is undefined. The parsing is pure.
 */

/** Whole numbers; times in nanoseconds, sizes in bytes. Absent: the kernel does not say. */
export interface CgroupUsage {
  cpuNanoSeconds?: number;
  usageBytes?: number;
  workingSetBytes?: number;
  rssBytes?: number;
  pageFaults?: number;
  majorPageFaults?: number;
  /** Absent without a limit. */
  limitBytes?: number;
  swapBytes?: number;
  processes?: number;
}

/** Reads a file below the cgroup mount; "" when it is not there. */
export type ReadCgroupFile = (path: string) => Promise<string>;

export interface CgroupReader {
  /** `path` as CRI writes a cgroup parent: "/kubepods/besteffort/pod1". */
  usage(path: string): Promise<CgroupUsage | undefined>;
}

export function cgroupReader(read: ReadCgroupFile, isV2: boolean): CgroupReader {
  return { usage: (path) => isV2 ? usageV2(read, path) : usageV1(read, path) };
}

async function usageV2(read: ReadCgroupFile, path: string): Promise<CgroupUsage | undefined> {
  const names = [
    "cpu.stat",
    "memory.current",
    "memory.stat",
    "memory.max",
    "memory.swap.current",
    "pids.current",
  ];
  const files = await Promise.all(names.map((name) => read(`${path}/${name}`)));
  const [cpu = "", current = "", stat = "", max = "", swap = "", pids = ""] = files;
  const usageMicros = fieldOf(cpu, "usage_usec");
  return whole({
    cpuNanoSeconds: usageMicros === undefined ? undefined : usageMicros * 1_000,
    ...memoryOf(numberOf(current), stat, { inactive: "inactive_file", rss: "anon", prefix: "" }),
    limitBytes: numberOf(max),
    swapBytes: numberOf(swap),
    processes: numberOf(pids),
  });
}

/** Limits of v1 without a limit are this large, rounded down to a page. */
const NO_LIMIT_MIN = 2 ** 62;

async function usageV1(read: ReadCgroupFile, path: string): Promise<CgroupUsage | undefined> {
  const files = await Promise.all([
    read(`/cpuacct${path}/cpuacct.usage`),
    read(`/memory${path}/memory.usage_in_bytes`),
    read(`/memory${path}/memory.stat`),
    read(`/memory${path}/memory.limit_in_bytes`),
    read(`/pids${path}/pids.current`),
  ]);
  const [cpu = "", current = "", stat = "", limit = "", pids = ""] = files;
  const limitBytes = numberOf(limit);
  return whole({
    cpuNanoSeconds: numberOf(cpu),
    ...memoryOf(numberOf(current), stat, {
      inactive: "total_inactive_file",
      rss: "total_rss",
      prefix: "total_",
    }),
    limitBytes: limitBytes !== undefined && limitBytes < NO_LIMIT_MIN ? limitBytes : undefined,
    swapBytes: fieldOf(stat, "total_swap"),
    processes: numberOf(pids),
  });
}

function memoryOf(
  usageBytes: number | undefined,
  stat: string,
  names: { inactive: string; rss: string; prefix: string },
) {
  const inactive = fieldOf(stat, names.inactive) ?? 0;
  return {
    usageBytes,
    workingSetBytes: usageBytes === undefined ? undefined : Math.max(0, usageBytes - inactive),
    rssBytes: fieldOf(stat, names.rss),
    pageFaults: fieldOf(stat, `${names.prefix}pgfault`),
    majorPageFaults: fieldOf(stat, `${names.prefix}pgmajfault`),
  };
}

/** Without the fields that are undefined; undefined when nothing is left. */
function whole(
  fields: { [K in keyof CgroupUsage]?: number | undefined },
): CgroupUsage | undefined {
  const known = Object.entries(fields).filter(([, value]) => value !== undefined);
  return known.length === 0 ? undefined : Object.fromEntries(known);
}

/** A field of a flat keyed file ("usage_usec 12"). */
export function fieldOf(text: string, name: string): number | undefined {
  for (const line of text.split("\n")) {
    if (line.startsWith(`${name} `)) return numberOf(line.slice(name.length + 1));
  }
  return undefined;
}

function numberOf(text: string): number | undefined {
  const trimmed = text.trim();
  return /^\d{1,20}$/.test(trimmed) ? Number(trimmed) : undefined;
}
