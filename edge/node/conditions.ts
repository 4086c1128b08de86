/**
 * The node's conditions, in kubelet's words. A condition keeps its transition time while its status
 * stands. What the node is short of is decided by whoever also acts on it (pods/eviction). Pure.
 */
import { toTime } from "../../shared/clock.ts";
import type { Condition } from "../../shared/k8s/types.ts";
import type { RuntimeHealth } from "./port.ts";

export interface ConditionsInput {
  /** What the node is short of, by condition. */
  pressures: ReadonlySet<string>;
  /** Set while the machine is about to go down: the node takes nothing more. */
  isShuttingDown: boolean;
  runtime: RuntimeHealth;
  previous: readonly Condition[];
  nowMs: number;
}

export function nodeConditions(input: ConditionsInput): Condition[] {
  const { pressures, runtime } = input;
  const stated = (type: string, isTrue: boolean, reason: string, message: string) =>
    withTimes({ type, status: isTrue ? "True" : "False", reason, message }, input);
  const trouble = input.isShuttingDown ? "node is shutting down" : runtimeTrouble(runtime);
  return [
    pressures.has("MemoryPressure")
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
    pressures.has("DiskPressure")
      ? stated("DiskPressure", true, "KubeletHasDiskPressure", "kubelet has disk pressure")
      : stated("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    pressures.has("PIDPressure")
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
