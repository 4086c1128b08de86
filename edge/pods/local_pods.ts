/** The local API's view: desired pods with the status this node computed, and their logs. */
import type { Changes } from "../../shared/async/wakeup.ts";
import { AppError, isAppError } from "../../shared/errors.ts";
import { ContainerState } from "../../shared/gen/runtime/v1/api_pb.ts";
import type { ContainerStatus, Pod } from "../../shared/k8s/types.ts";
import type { ContainerLog, LocalPods } from "../api/port.ts";
import type { ContainerRuntime } from "../cri/port.ts";
import type { Ledger, PodRecords } from "../meta/port.ts";
import { findContainer } from "./pod_containers.ts";
import { podId, podLogDir } from "./to_cri.ts";

export interface AgentPodsOptions {
  ledger: Ledger;
  records: PodRecords;
  changes: Changes;
  runtime: ContainerRuntime;
  podLogsDir: string;
  retryInMs: (uid: string) => number | undefined;
}

interface LogQuery {
  namespace: string;
  pod: string;
  container?: string;
  previous: boolean;
}

export class AgentPods implements LocalPods {
  readonly #options: AgentPodsOptions;

  constructor(options: AgentPodsOptions) {
    this.#options = options;
  }

  list(): Pod[] {
    const { ledger, records } = this.#options;
    return ledger.list<Pod>("pods").map((pod) => {
      const record = records.get(pod.metadata.uid ?? "");
      return { apiVersion: "v1", kind: "Pod", ...pod, status: record?.status ?? pod.status ?? {} };
    });
  }

  retryInMs(uid: string): number | undefined {
    return this.#options.retryInMs(uid);
  }

  subscribe(listener: () => void): () => void {
    const { ledger, changes } = this.#options;
    const unsubscribes = [ledger.changes.subscribe(listener), changes.subscribe(listener)];
    return () => unsubscribes.forEach((unsubscribe) => unsubscribe());
  }

  async log(query: LogQuery, signal: AbortSignal): Promise<ContainerLog> {
    const pod = this.list().find((p) =>
      p.metadata.namespace === query.namespace && p.metadata.name === query.pod
    );
    if (!pod) throw new AppError("not_found", `pods "${query.pod}" not found`);
    const name = query.container ?? onlyContainer(pod);
    const status = [
      ...(pod.status?.containerStatuses ?? []),
      ...(pod.status?.initContainerStatuses ?? []),
      ...(pod.status?.ephemeralContainerStatuses ?? []),
    ].find((s) => s.name === name);
    if (!status) throw noStatus(pod, name);
    const containerId = query.previous ? previousId(pod, status) : currentId(pod, status);
    const attempt = query.previous || hasRestartAhead(status)
      ? await this.#attemptOf(containerId, status, signal)
      : status.restartCount;
    const dir = podLogDir(podId(pod), this.#options.podLogsDir);
    return {
      path: `${dir}/${name}/${attempt}.log`,
      running: () => this.#isRunning(containerId, signal),
    };
  }

  async #attemptOf(
    containerId: string,
    status: ContainerStatus,
    signal: AbortSignal,
  ): Promise<number> {
    try {
      const answer = await this.#options.runtime.containerStatus({ containerId }, signal);
      return answer.status?.metadata?.attempt ?? status.restartCount;
    } catch (error) {
      if (!isAppError(error, "not_found", "unavailable")) throw error;
      // The runtime cannot say; runs are counted without gaps.
      const isLast = status.containerID?.endsWith(containerId) ?? false;
      return isLast ? status.restartCount : Math.max(0, status.restartCount - 1);
    }
  }

  async #isRunning(containerId: string, signal: AbortSignal): Promise<boolean> {
    try {
      const { status } = await this.#options.runtime.containerStatus({ containerId }, signal);
      return status?.state === ContainerState.CONTAINER_RUNNING;
    } catch (error) {
      if (isAppError(error, "not_found")) return false;
      if (isAppError(error, "unavailable")) return true; // it may well run on without its runtime
      throw error;
    }
  }
}

function hasRestartAhead(status: ContainerStatus): boolean {
  return status.state?.waiting !== undefined;
}

function onlyContainer(pod: Pod): string {
  const names = pod.spec.containers.map((c) => c.name);
  const wanted = pod.metadata.annotations?.["kubectl.kubernetes.io/default-container"];
  if (wanted && names.includes(wanted)) return wanted;
  if (names.length === 1) return names[0]!;
  const init = (pod.spec.initContainers ?? []).map((c) => c.name);
  const choice = init.length > 0
    ? `choose one of: [${names.join(" ")}] or one of the init containers: [${init.join(" ")}]`
    : `choose one of: [${names.join(" ")}]`;
  throw new AppError(
    "invalid",
    `a container name must be specified for pod ${pod.metadata.name}, ${choice}`,
  );
}

function noStatus(pod: Pod, name: string): AppError {
  return findContainer(pod, name)
    ? waitingToStart(pod, name, "ContainerCreating")
    : new AppError("invalid", `container ${name} is not valid for pod ${pod.metadata.name}`);
}

function waitingToStart(pod: Pod, name: string, reason: string): AppError {
  const why: Record<string, string> = {
    ErrImagePull: "image can't be pulled",
    ImagePullBackOff: "trying and failing to pull image",
    ErrImageNeverPull: "image is not present and may not be pulled",
  };
  return new AppError(
    "invalid",
    `container "${name}" in pod "${pod.metadata.name}" is waiting to start: ${
      why[reason] ?? reason
    }`,
  );
}

/** The run to read: the present one, or the last one while it waits for a restart. */
function currentId(pod: Pod, status: ContainerStatus): string {
  const { state, lastState } = status;
  const id = state?.running || state?.terminated
    ? status.containerID ?? state.terminated?.containerID
    : lastState?.terminated?.containerID;
  if (id) return bareId(id);
  throw waitingToStart(pod, status.name, state?.waiting?.reason ?? "ContainerCreating");
}

function previousId(pod: Pod, status: ContainerStatus): string {
  const id = status.lastState?.terminated?.containerID;
  if (id) return bareId(id);
  throw new AppError(
    "invalid",
    `previous terminated container "${status.name}" in pod "${pod.metadata.name}" not found`,
  );
}

function bareId(containerId: string): string {
  return containerId.slice(containerId.indexOf("://") + 3);
}
