/**
 * The node's conditions, in kubelet's words and with its default thresholds. A condition keeps its
 * transition time while its status stands. Pure.
 */
import { toTime } from "../../shared/clock.ts";
import type { Condition } from "../../shared/k8s/types.ts";
import type { MachineFacts, RuntimeHealth } from "./port.ts";

/** kubelet's evictionHard: memory.available<100Mi, nodefs.available<10%, nodefs.inodesFree<5%. */
export const MEMORY_RESERVE_BYTES = 100 * 1024 * 1024;
export const DISK_RESERVE_SHARE = 0.1;
const INODES_RESERVE_SHARE = 0.05;
/** kubelet has no default here; below this new containers begin to fail. */
const PIDS_RESERVE = 1_000;

export interface ConditionsInput {
  machine: MachineFacts;
  runtime: RuntimeHealth;
  previous: readonly Condition[];
  nowMs: number;
}

export function nodeConditions(input: ConditionsInput): Condition[] {
  const { machine, runtime } = input;
  const stated = (type: string, isTrue: boolean, reason: string, message: string) =>
    withTimes({ type, status: isTrue ? "True" : "False", reason, message }, input);
  const isMemoryLow = machine.memoryAvailableBytes < MEMORY_RESERVE_BYTES;
  const isDiskLow = isDiskShort(machine.disk);
  const isPidLow = machine.pids.max > 0 && machine.pids.max - machine.pids.used < PIDS_RESERVE;
  const trouble = runtimeTrouble(runtime);
  return [
    isMemoryLow
      ? stated(
        "MemoryPressure",
        true,
        "KubeletHasInsufficientMemory",
        "kubelet has insufficient memory available",
      )
      : stated(
        "MemoryPressure",
        false,
        "KubeletHasSufficientMemory",
        "kubelet has sufficient memory available",
      ),
    isDiskLow
      ? stated("DiskPressure", true, "KubeletHasDiskPressure", "kubelet has disk pressure")
      : stated("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    isPidLow
      ? stated(
        "PIDPressure",
        true,
        "KubeletHasInsufficientPID",
        "kubelet has insufficient PID available",
      )
      : stated(
        "PIDPressure",
        false,
        "KubeletHasSufficientPID",
        "kubelet has sufficient PID available",
      ),
    trouble === undefined
      ? stated("Ready", true, "KubeletReady", "kubelet is posting ready status")
      : stated("Ready", false, "KubeletNotReady", trouble),
  ];
}

function isDiskShort(disk: MachineFacts["disk"]): boolean {
  const isBytesShort = disk.totalBytes > 0 &&
    disk.availableBytes < disk.totalBytes * DISK_RESERVE_SHARE;
  // Some file systems (btrfs, overlay on it) count no inodes.
  return isBytesShort || (disk.inodes > 0 && disk.inodesFree < disk.inodes * INODES_RESERVE_SHARE);
}

/** Why the node is not Ready. A runtime that is down has no network either: one reason says it. */
function runtimeTrouble(runtime: RuntimeHealth): string | undefined {
  if (!runtime.ready) {
    const { message } = runtime;
    return prefixed("container runtime not ready", message, "container runtime is down");
  }
  if (runtime.network.ready) return undefined;
  const plain = "container runtime network not ready";
  return prefixed(plain, runtime.network.message, plain);
}

/** "container runtime not ready: RuntimeReady=false reason:…", without saying it twice. */
function prefixed(prefix: string, detail: string | undefined, alone: string): string {
  if (!detail) return alone;
  return detail.startsWith("container runtime") ? detail : `${prefix}: ${detail}`;
}

function withTimes(condition: Condition, { previous, nowMs }: ConditionsInput): Condition {
  const now = toTime(nowMs);
  const before = previous.find((old) => old.type === condition.type);
  const isSame = before?.status === condition.status && before.lastTransitionTime;
  return {
    ...condition,
    lastHeartbeatTime: now,
    lastTransitionTime: isSame ? before.lastTransitionTime ?? now : now,
  };
}
