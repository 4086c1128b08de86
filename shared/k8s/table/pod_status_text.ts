/**
 * The words and numbers `kubectl get pods` shows: status, ready, restarts. Derived from the pod's
 * container states, the way people know them from any cluster.
 */
import { ageOf } from "../duration.ts";
import type { Container, ContainerStatus, Pod } from "../types.ts";

export interface PodSummary {
  ready: string;
  status: string;
  restarts: string;
}

interface InitProgress {
  /** Status text while init containers hold the pod back. */
  status: string | undefined;
  restarts: number;
  lastTermination: string | undefined;
  sidecars: { total: number; ready: number; restarts: number; lastTermination: string | undefined };
}

export function summarizePod(pod: Pod, nowMs: number): PodSummary {
  const statuses = pod.status?.containerStatuses ?? [];
  const init = initProgress(pod);
  const ready = statuses.filter((status) => status.ready && status.state?.running).length +
    init.sidecars.ready;
  const total = (pod.spec.containers?.length ?? 0) + init.sidecars.total;
  const mainRestarts = statuses.reduce((sum, status) => sum + (status.restartCount ?? 0), 0);
  const restarts = init.status ? init.restarts : mainRestarts + init.sidecars.restarts;
  const last = init.status ? init.lastTermination : latest([
    ...statuses.map(finishedBefore),
    init.sidecars.lastTermination,
  ]);
  return {
    ready: `${ready}/${total}`,
    status: statusText(pod, init.status),
    restarts: restarts > 0 && last ? `${restarts} (${ageOf(last, nowMs)} ago)` : `${restarts}`,
  };
}

function statusText(pod: Pod, initStatus: string | undefined): string {
  const { phase, reason } = pod.status ?? {};
  if (pod.metadata.deletionTimestamp) {
    if (reason === "NodeLost") return "Unknown";
    if (phase !== "Succeeded" && phase !== "Failed") return "Terminating";
  }
  if (initStatus) return initStatus;
  const gated = pod.status?.conditions?.some((condition) =>
    condition.type === "PodScheduled" && condition.reason === "SchedulingGated"
  );
  return fromContainers(pod, gated ? "SchedulingGated" : reason || phase || "Unknown");
}

function fromContainers(pod: Pod, fallback: string): string {
  const statuses = pod.status?.containerStatuses ?? [];
  let text = fallback;
  for (const status of statuses.toReversed()) {
    const { waiting, terminated } = status.state ?? {};
    if (waiting?.reason) text = waiting.reason;
    else if (terminated) text = terminated.reason || exitText("", terminated);
  }
  const running = statuses.some((status) => status.ready && status.state?.running);
  if (text !== "Completed" || !running) return text;
  const podReady = pod.status?.conditions?.some((condition) =>
    condition.type === "Ready" && condition.status === "True"
  );
  return podReady ? "Running" : "NotReady";
}

function exitText(
  prefix: string,
  terminated: NonNullable<NonNullable<ContainerStatus["state"]>["terminated"]>,
): string {
  const { signal, exitCode } = terminated;
  return signal ? `${prefix}Signal:${signal}` : `${prefix}ExitCode:${exitCode}`;
}

function initProgress(pod: Pod): InitProgress {
  const specs = pod.spec.initContainers ?? [];
  const statuses = pod.status?.initContainerStatuses ?? [];
  const sidecar = (name: string) => isSidecar(specs.find((spec) => spec.name === name));
  const side = statuses.filter((status) => sidecar(status.name));
  return {
    status: initialized(pod) ? undefined : initStatusText(specs.length, statuses, sidecar),
    restarts: statuses.reduce((sum, status) => sum + (status.restartCount ?? 0), 0),
    lastTermination: latest(statuses.map(finishedBefore)),
    sidecars: {
      total: specs.filter(isSidecar).length,
      ready: side.filter((status) => status.ready && status.state?.running).length,
      restarts: side.reduce((sum, status) => sum + (status.restartCount ?? 0), 0),
      lastTermination: latest(side.map(finishedBefore)),
    },
  };
}

function isSidecar(container: Container | undefined): boolean {
  return container?.restartPolicy === "Always";
}

function initialized(pod: Pod): boolean {
  return pod.status?.conditions?.some((condition) =>
    condition.type === "Initialized" && condition.status === "True"
  ) ?? false;
}

/** The first init container that is not done says why the pod waits. */
function initStatusText(
  total: number,
  statuses: readonly ContainerStatus[],
  sidecar: (name: string) => boolean,
): string | undefined {
  for (const [index, status] of statuses.entries()) {
    const { waiting, terminated } = status.state ?? {};
    if (terminated && terminated.exitCode === 0) continue;
    if (sidecar(status.name) && status.started) continue;
    if (terminated) {
      return terminated.reason ? `Init:${terminated.reason}` : exitText("Init:", terminated);
    }
    if (waiting?.reason && waiting.reason !== "PodInitializing") return `Init:${waiting.reason}`;
    return `Init:${index}/${total}`;
  }
  return undefined;
}

function finishedBefore(status: ContainerStatus): string | undefined {
  return status.lastState?.terminated?.finishedAt;
}

function latest(times: readonly (string | undefined)[]): string | undefined {
  return times.filter((time) => time !== undefined).sort((a, b) => Date.parse(a) - Date.parse(b))
    .at(-1);
}
