/** Reads what the agent needs to know of its machine. A file that is missing counts as empty. */
import { statfs } from "node:fs/promises";
import { type DnsSettings, parseResolvConf } from "./dns.ts";
import type { HostFacts } from "./cgroup.ts";
import type { DiskUse } from "./housekeeping/plan_image_gc.ts";

export interface Host extends HostFacts {
  dns: DnsSettings;
  hostsFile: string;
  diskUse: (path: string) => Promise<DiskUse>;
  hasAppArmor: boolean;
}

export async function readHost(): Promise<Host> {
  const [meminfo, resolvConf, hostsFile] = await Promise.all([
    textOf("/proc/meminfo"),
    textOf("/etc/resolv.conf"),
    textOf("/etc/hosts"),
  ]);
  const cgroupV2 = await exists("/sys/fs/cgroup/cgroup.controllers");
  const kilobytes = Number(/^MemTotal:\s+(\d+) kB/m.exec(meminfo)?.[1] ?? 0);
  return {
    memoryBytes: kilobytes * 1024,
    cgroupV2,
    swapLimits: cgroupV2
      ? meminfo !== "" && await exists("/proc/swaps")
      : await exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"),
    maskedPaths: await throttlePaths(),
    pageSizes: await hugePageSizes(),
    dns: parseResolvConf(resolvConf),
    hostsFile,
    diskUse: readDiskUse,
    hasAppArmor: (await textOf("/sys/module/apparmor/parameters/enabled")).trim() === "Y",
  };
}

/** Size and space of the file system `path` lies on. */
async function readDiskUse(path: string): Promise<DiskUse> {
  const stats = await statfs(path);
  return {
    capacityBytes: stats.blocks * stats.bsize,
    availableBytes: stats.bavail * stats.bsize,
    freeBytes: stats.bfree * stats.bsize,
    inodes: stats.files,
    inodesFree: stats.ffree,
  };
}

/** As Kubernetes writes them: "2Mi", "1Gi". */
async function hugePageSizes(): Promise<string[]> {
  const sizes: string[] = [];
  try {
    for await (const { name } of Deno.readDir("/sys/kernel/mm/hugepages")) {
      const kibibytes = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? 0);
      if (kibibytes >= 1024 ** 2) sizes.push(`${kibibytes / 1024 ** 2}Gi`);
      else if (kibibytes > 0) {
        sizes.push(kibibytes < 1024 ? `${kibibytes}Ki` : `${kibibytes / 1024}Mi`);
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return sizes.sort();
}

async function throttlePaths(): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const entry of Deno.readDir("/sys/devices/system/cpu")) {
      const path = `/sys/devices/system/cpu/${entry.name}/thermal_throttle`;
      if (/^cpu\d+$/.test(entry.name) && await exists(path)) found.push(path);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort();
}

async function textOf(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
