/**
 * Reads the machine: kernel, distribution, sizes, free room, addresses. What cannot change while
 * the kernel runs is read once; the rest is a handful of small files each time. A missing file is a
 * fact of some machine, not an error.
 *
 * Inside a container the limits at the root of the cgroup mount bound what is offered; on a machine
 * itself there are none at the root. Limits of this program's own unit do not count.
 */
import { statfs } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { AppError } from "../../shared/errors.ts";
import {
  cpuLimit,
  defaultInterface,
  defaultInterface6,
  hugepageSize,
  type InterfaceAddress,
  kubernetesArchitecture,
  meminfoBytes,
  memoryLimit,
  nodeAddresses,
  osImage,
} from "./parse_machine.ts";
import type { MachineFacts } from "./port.ts";

type LastingFacts = Pick<
  MachineFacts,
  | "architecture"
  | "kernelVersion"
  | "osImage"
  | "machineId"
  | "systemUuid"
  | "bootId"
  | "cpus"
  | "hugepages"
>;

export interface MachineOptions {
  /** Its file system is the node's ephemeral storage. */
  dataDir: string;
  /** Where the link reaches the cloud from, when it is known: the best address there is. */
  linkAddress?: () => string | undefined;
}

export class Machine {
  readonly #options: MachineOptions;
  #lasting: LastingFacts | undefined;

  constructor(options: MachineOptions) {
    this.#options = options;
  }

  async read(): Promise<MachineFacts> {
    this.#lasting ??= await readLasting();
    const [meminfo, memoryMax, memoryMax1, disk, pids, addresses] = await Promise.all([
      textOf("/proc/meminfo"),
      textOf("/sys/fs/cgroup/memory.max"),
      textOf("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
      readDisk(this.#options.dataDir),
      readPids(),
      this.#addresses(),
    ]);
    const totalBytes = meminfoBytes(meminfo, "MemTotal");
    const limitBytes = memoryLimit(memoryMax) ?? memoryLimit(memoryMax1) ?? totalBytes;
    return {
      ...this.#lasting,
      memoryBytes: Math.min(totalBytes, limitBytes),
      memoryAvailableBytes: meminfoBytes(meminfo, "MemAvailable"),
      disk,
      pids,
      addresses,
    };
  }

  async #addresses(): Promise<string[]> {
    const [routes, routes6] = await Promise.all([
      textOf("/proc/net/route"),
      textOf("/proc/net/ipv6_route"),
    ]);
    const interfaces = Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
      (addresses ?? []).map(({ family, address }): InterfaceAddress => ({
        name,
        family: family === "IPv6" ? "IPv6" : "IPv4",
        address,
      }))
    );
    const found = nodeAddresses(interfaces, {
      IPv4: defaultInterface(routes),
      IPv6: defaultInterface6(routes6),
    });
    const own = this.#options.linkAddress?.();
    const isOwn = interfaces.some(({ address }) => address === own) && !isLoopback(own ?? "");
    if (!own || !isOwn) return found;
    const isSameFamily = (address: string) => address.includes(":") === own.includes(":");
    return [own, ...found.filter((address) => !isSameFamily(address))];
  }
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}

async function readLasting(): Promise<LastingFacts> {
  const [release, osRelease, machineId, productUuid, bootId, cpuMax] = await Promise.all([
    textOf("/proc/sys/kernel/osrelease"),
    textOf("/etc/os-release").then((text) => text || textOf("/usr/lib/os-release")),
    textOf("/etc/machine-id").then((text) => text || textOf("/var/lib/dbus/machine-id")),
    textOf("/sys/class/dmi/id/product_uuid"),
    textOf("/proc/sys/kernel/random/boot_id"),
    textOf("/sys/fs/cgroup/cpu.max"),
  ]);
  const cpus = navigator.hardwareConcurrency;
  return {
    architecture: kubernetesArchitecture(Deno.build.arch),
    kernelVersion: release.trim(),
    osImage: osImage(osRelease),
    machineId: machineId.trim(),
    // Boards without firmware tables have no product UUID; kubelet takes the machine id there too.
    systemUuid: productUuid.trim() || machineId.trim(),
    bootId: bootId.trim(),
    cpus: Math.min(cpus, cpuLimit(cpuMax) ?? cpus),
    hugepages: await readHugepages(),
  };
}

const HUGEPAGES_DIR = "/sys/kernel/mm/hugepages";

/** As set aside when the node started: kubelet, too, learns of changes by a restart. */
async function readHugepages(): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  try {
    for await (const { name } of Deno.readDir(HUGEPAGES_DIR)) {
      const kibibytes = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? 0);
      if (kibibytes === 0) continue;
      const pages = Number((await textOf(`${HUGEPAGES_DIR}/${name}/nr_hugepages`)).trim()) || 0;
      found[hugepageSize(kibibytes)] = pages * kibibytes * 1024;
    }
  } catch {
    return {}; // a kernel without huge pages
  }
  return found;
}

async function readDisk(path: string): Promise<MachineFacts["disk"]> {
  const stats = await statfs(path).catch((cause) => {
    throw new AppError("unavailable", "Cannot read file system of data folder", { path }, {
      cause,
    });
  });
  return {
    totalBytes: stats.blocks * stats.bsize,
    availableBytes: stats.bavail * stats.bsize,
    inodes: stats.files,
    inodesFree: stats.ffree,
  };
}

/** The kernel's process limit, and the threads there are (/proc/loadavg's "3/412"). */
async function readPids(): Promise<MachineFacts["pids"]> {
  const [pidMax, loadavg] = await Promise.all([
    textOf("/proc/sys/kernel/pid_max"),
    textOf("/proc/loadavg"),
  ]);
  const used = /\/(\d+)/.exec(loadavg)?.[1];
  return { max: Number(pidMax.trim()) || 0, used: Number(used ?? 0) };
}

async function textOf(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch {
    return ""; // not there on this machine, or not for us to read: the fact stays unknown
  }
}
