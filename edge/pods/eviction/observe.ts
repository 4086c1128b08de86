/** What a node has left of everything that can run short, by eviction signal. */
import type { MachineFacts } from "../../node/port.ts";
import type { FsStats } from "../../../shared/k8s/stats_summary.ts";
import type { Observation, Observations } from "./decide.ts";

export interface Observed {
  observations: Observations;
  /** Images lie on a file system of their own. */
  hasImageFs: boolean;
}

/** `imageFs`: the file system images lie on; undefined while the runtime does not say. */
export function observe(machine: MachineFacts, imageFs: FsStats | undefined): Observed {
  const { disk, pids } = machine;
  const observations: Observations = {
    "memory.available": of(machine.memoryAvailableBytes, machine.memoryBytes),
    "nodefs.available": of(disk.availableBytes, disk.totalBytes),
    "pid.available": of(Math.max(0, pids.max - pids.used), pids.max),
  };
  // Some file systems (btrfs, overlay on it) count no inodes.
  if (disk.inodes > 0) observations["nodefs.inodesFree"] = of(disk.inodesFree, disk.inodes);
  const images: Partial<FsStats> = imageFs ?? {};
  const { availableBytes, capacityBytes, inodesFree, inodes } = images;
  if (availableBytes !== undefined && capacityBytes) {
    observations["imagefs.available"] = of(availableBytes, capacityBytes);
  }
  if (inodesFree !== undefined && inodes) {
    observations["imagefs.inodesFree"] = of(inodesFree, inodes);
  }
  // The same size and the same number of inodes: it is one file system.
  const isSame = capacityBytes === disk.totalBytes && (inodes ?? 0) === disk.inodes;
  return { observations, hasImageFs: capacityBytes !== undefined && !isSame };
}

function of(available: number, capacity: number): Observation {
  return { available, capacity };
}
