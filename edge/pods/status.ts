/**
 * PodStatus as kubelet writes it. Pure: what is desired, what the runtime shows, why a container
 * waits, and the status written before (times of conditions, vanished runs, and the terminal phase
 * that never goes back come from there).
 */
import { toTime } from "../../shared/clock.ts";
import type {
  Condition,
  ContainerState,
  ContainerStatus,
  Pod,
  PodPhase,
  PodStatus,
} from "../../shared/k8s/types.ts";
import { containerStatus } from "./status_container.ts";
import { currentSandbox, newestSandbox, type ObservedPod } from "./observed.ts";
import { isSidecar, type Waiting } from "./plan.ts";
import type { PodVerdict } from "./plan_deadline.ts";
import { restartsAfter } from "./plan_restart.ts";
import { ephemeralContainers } from "./pod_containers.ts";
import type { PodHealth } from "./probes/health.ts";
import { qosClass } from "./qos.ts";

/** kubelet's bound for a pod's termination messages together. */
const MESSAGE_CHARS_MAX = 12 * 1024;

export interface StatusInput {
  pod: Pod;
  observed: ObservedPod;
  previous: PodStatus | undefined;
  waiting: ReadonlyMap<string, Waiting>;
  /** What probes say of running containers. */
  health?: PodHealth;
  /** Set when the pod is Failed whatever its containers do. */
  verdict?: PodVerdict;
  hostIps: readonly string[];
  /** "containerd": the scheme of container ids. */
  runtimeName: string;
  /** Wall clock. */
  nowMs: number;
}

export function podStatus(input: StatusInput): PodStatus {
  const { pod, observed, previous } = input;
  const initContainerStatuses = (pod.spec.initContainers ?? [])
    .map((c) => containerStatus(c, input, "init"));
  const containerStatuses = pod.spec.containers.map((c) => containerStatus(c, input, "main"));
  const phase = input.verdict
    ? "Failed"
    : phaseOf(pod, initContainerStatuses, containerStatuses, previous?.phase);
  const status: PodStatus = {
    phase,
    conditions: conditionsOf(input, phase, initContainerStatuses, containerStatuses),
    qosClass: qosClass(pod),
    startTime: previous?.startTime ?? toTime(input.nowMs),
    containerStatuses,
  };
  if (initContainerStatuses.length > 0) status.initContainerStatuses = initContainerStatuses;
  const ephemeral = ephemeralContainers(pod).map((c) => containerStatus(c, input, "ephemeral"));
  if (ephemeral.length > 0) status.ephemeralContainerStatuses = ephemeral;
  const { reason, message } = input.verdict ?? previous ?? {};
  if (reason) status.reason = reason;
  if (message) status.message = message;
  if (input.hostIps[0]) {
    status.hostIP = input.hostIps[0];
    status.hostIPs = input.hostIps.map((ip) => ({ ip }));
  }
  const ips = podIps(pod, observed, previous, input.hostIps);
  if (ips[0]) {
    status.podIP = ips[0];
    status.podIPs = ips.map((ip) => ({ ip }));
  }
  return trimMessages(status);
}

/** All that containers say of their ends fits the bound of the pod, in equal shares. */
function trimMessages(status: PodStatus): PodStatus {
  const { containerStatuses, initContainerStatuses, ephemeralContainerStatuses } = status;
  const lists = { containerStatuses, initContainerStatuses, ephemeralContainerStatuses };
  const count = Object.values(lists).reduce((n, list) => n + (list?.length ?? 0), 0);
  const charsMax = Math.floor(MESSAGE_CHARS_MAX / Math.max(1, count));
  const isLong = (state: ContainerState | undefined) =>
    (state?.terminated?.message?.length ?? 0) > charsMax;
  if (!Object.values(lists).some((l) => l?.some((s) => isLong(s.state) || isLong(s.lastState)))) {
    return status;
  }
  const copy = structuredClone(status);
  for (const key of Object.keys(lists) as (keyof typeof lists)[]) { // its own keys
    for (const { state, lastState } of copy[key] ?? []) {
      for (const ended of [state?.terminated, lastState?.terminated]) {
        if (ended?.message) ended.message = ended.message.slice(0, charsMax);
      }
    }
  }
  return copy;
}

/** The status of a pod the node refuses; it never ran and never will. */
export function rejectedStatus(
  pod: Pod,
  rejection: { reason: string; message: string },
  nowMs: number,
): PodStatus {
  return {
    phase: "Failed",
    reason: rejection.reason,
    message: rejection.message,
    qosClass: qosClass(pod),
    startTime: toTime(nowMs),
  };
}

function podIps(
  pod: Pod,
  observed: ObservedPod,
  previous: PodStatus | undefined,
  hostIps: readonly string[],
): readonly string[] {
  if (pod.spec.hostNetwork) return observed.sandboxes.length > 0 ? hostIps : [];
  const ips = (currentSandbox(observed) ?? newestSandbox(observed))?.ips ?? [];
  return ips.length > 0 ? ips : previous?.podIPs?.map(({ ip }) => ip) ?? [];
}

function phaseOf(
  pod: Pod,
  init: readonly ContainerStatus[],
  main: readonly ContainerStatus[],
  previous: PodPhase | undefined,
): PodPhase {
  if (previous === "Succeeded" || previous === "Failed") return previous;
  const specs = new Map(
    [...pod.spec.initContainers ?? [], ...pod.spec.containers].map((c) => [c.name, c]),
  );
  const restarts = (s: ContainerStatus, exitCode: number) =>
    restartsAfter(pod, specs.get(s.name)!, exitCode); // statuses are made from these very specs
  const steps = init.filter((_, i) => !isSidecar(pod.spec.initContainers![i]!));
  const deleting = pod.metadata.deletionTimestamp !== undefined;
  const failed = steps.some((s) => {
    const code = s.state?.terminated?.exitCode ?? 0;
    return code !== 0 && (deleting || !restarts(s, code));
  });
  if (failed) return "Failed";
  const pendingInit = steps.some((s) => s.state?.terminated?.exitCode !== 0);
  const begun = main.some((s) =>
    s.state?.running ?? s.state?.terminated ?? s.lastState?.terminated
  );
  if (pendingInit && !begun) return "Pending";
  const fresh = main.some((s) => s.state?.waiting && !s.lastState?.terminated);
  if (fresh && !(deleting && begun)) return "Pending";
  if (main.some((s) => s.state?.running)) return "Running";
  const ends = main.map((s) => s.state?.terminated ?? s.lastState?.terminated);
  if (ends.length === 0) return "Pending";
  const allGood = ends.every((t) => t?.exitCode === 0);
  if (deleting) return allGood ? "Succeeded" : "Failed";
  if (main.some((s, i) => s.state?.waiting || restarts(s, ends[i]?.exitCode ?? 0))) {
    return "Running";
  }
  return allGood ? "Succeeded" : "Failed";
}

interface Verdict {
  type: string;
  ok: boolean;
  reason?: string;
  message?: string;
}

function conditionsOf(
  input: StatusInput,
  phase: PodPhase,
  init: readonly ContainerStatus[],
  main: readonly ContainerStatus[],
): Condition[] {
  const { pod, observed } = input;
  const ended = phase === "Succeeded"
    ? "PodCompleted"
    : phase === "Failed"
    ? "PodFailed"
    : undefined;
  const sandbox = currentSandbox(observed);
  const sidecar = (i: number) => isSidecar(pod.spec.initContainers![i]!);
  const unready = [...init.filter((_, i) => sidecar(i)), ...main]
    .filter((s) => !s.ready).map((s) => s.name);
  const incomplete = main.some((s) => s.state?.running)
    ? []
    : init.filter((s, i) => sidecar(i) ? !s.started : !s.ready).map((s) => s.name);
  const contained: Verdict = ended
    ? { type: "ContainersReady", ok: false, reason: ended }
    : unready.length > 0
    ? {
      type: "ContainersReady",
      ok: false,
      reason: "ContainersNotReady",
      message: `containers with unready status: [${unready.join(" ")}]`,
    }
    : { type: "ContainersReady", ok: true };
  const verdicts: Verdict[] = [
    {
      type: "PodReadyToStartContainers",
      ok: sandbox !== undefined && (pod.spec.hostNetwork === true || sandbox.ips.length > 0),
    },
    ended === "PodCompleted"
      ? { type: "Initialized", ok: true, reason: ended }
      : incomplete.length > 0
      ? {
        type: "Initialized",
        ok: false,
        reason: "ContainersNotInitialized",
        message: `containers with incomplete status: [${incomplete.join(" ")}]`,
      }
      : { type: "Initialized", ok: true },
    readyVerdict(pod, contained),
    contained,
  ];
  const type = "DisruptionTarget";
  const told = input.previous?.conditions?.find((c) => c.type === type);
  if (input.verdict?.isDisruption || told) {
    const message = input.verdict?.message ?? told?.message ?? "";
    verdicts.push({ type, ok: true, reason: "TerminationByKubelet", message });
  }
  return mergeConditions(input, verdicts);
}

function readyVerdict(pod: Pod, contained: Verdict): Verdict {
  if (!contained.ok) return { ...contained, type: "Ready" };
  const shut = (pod.spec.readinessGates ?? []).flatMap(({ conditionType: type }) => {
    const found = pod.status?.conditions?.find((c) => c.type === type);
    if (!found) {
      return [`corresponding condition of pod readiness gate "${type}" does not exist.`];
    }
    if (found.status === "True") return [];
    return [`the status of pod readiness gate "${type}" is not "True", but ${found.status}`];
  });
  if (shut.length === 0) return { type: "Ready", ok: true };
  return {
    type: "Ready",
    ok: false,
    reason: "ReadinessGatesNotReady",
    message: shut.join(", "),
  };
}

/** Ours with the time they last turned; others' conditions travel along as they are. */
function mergeConditions(input: StatusInput, verdicts: readonly Verdict[]): Condition[] {
  const now = toTime(input.nowMs);
  const before = input.previous?.conditions ?? [];
  const desired = input.pod.status?.conditions ?? [];
  const ours = verdicts.map(({ type, ok, reason, message }): Condition => {
    const status = ok ? "True" : "False";
    const old = before.find((c) => c.type === type) ?? desired.find((c) => c.type === type);
    return {
      type,
      status,
      lastProbeTime: null,
      lastTransitionTime: old?.status === status && old.lastTransitionTime
        ? old.lastTransitionTime
        : now,
      ...(reason ? { reason } : {}),
      ...(message ? { message } : {}),
    };
  });
  const scheduled = desired.find((c) => c.type === "PodScheduled") ??
    before.find((c) => c.type === "PodScheduled") ??
    { type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: now };
  const known = new Set([...ours.map((c) => c.type), "PodScheduled"]);
  return [...ours, scheduled, ...desired.filter((c) => !known.has(c.type))];
}
