/** The status of one container, from its runs, newest first, and why it waits. Pure. */
import { toTime } from "../../shared/clock.ts";
import type { Container, ContainerState, ContainerStatus } from "../../shared/k8s/types.ts";
import { type ObservedContainer, runsOf } from "./observed.ts";
import type { ContainerRole } from "./pod_containers.ts";
import { isSidecar, shouldRestart, type Waiting } from "./plan.ts";
import { healthOf } from "./probes/health.ts";
import type { StatusInput } from "./status.ts";

export function containerStatus(
  container: Container,
  input: StatusInput,
  role: ContainerRole,
): ContainerStatus {
  const init = role === "init";
  const runs = runsOf(input.observed, container.name);
  const last = runs[0];
  if (!last) return withoutRuns(container, input, role);
  const waiting = role === "ephemeral" ? undefined : waitingOf(container, last, input);
  const status: ContainerStatus = {
    name: container.name,
    ready: false,
    started: false,
    restartCount: last.restartCount,
    image: last.image || (container.image ?? ""),
    imageID: last.imageRef,
    containerID: idOf(last, input),
    state: {},
  };
  const earlier = runs.slice(1).find((r) => r.state === "exited");
  if (last.state === "running") {
    status.state = { running: { startedAt: toTime(last.startedAtMs) } };
    const { started, ready } = healthOf(input.health, container, last.id);
    status.started = started;
    status.ready = ready && (role === "main" || init && isSidecar(container));
  } else if (last.state === "exited" && !waiting && !last.replaced) {
    status.state = terminated(last, input);
    status.ready = init && !isSidecar(container) && last.exitCode === 0;
  } else {
    status.state = { waiting: waiting ?? { reason: startingReason(input) } };
    if (last.state === "exited") status.lastState = terminated(last, input);
  }
  if (!status.lastState && earlier) status.lastState = terminated(earlier, input);
  return status;
}

/** What ended for good waits for nothing, though its hook failed. */
function waitingOf(
  container: Container,
  last: ObservedContainer,
  input: StatusInput,
): Waiting | undefined {
  const waiting = input.waiting.get(container.name);
  const isOver = waiting?.reason === "PostStartHookError" && last.state === "exited" &&
    !shouldRestart(input.pod, container, last);
  return isOver ? undefined : waiting;
}

function startingReason(input: StatusInput): string {
  const hasInit = (input.pod.spec.initContainers ?? []).length > 0;
  return hasInit ? "PodInitializing" : "ContainerCreating";
}

/** Nothing in the runtime: not begun yet, ended long ago, or vanished while it was running. */
function withoutRuns(
  container: Container,
  input: StatusInput,
  role: ContainerRole,
): ContainerStatus {
  const before = [
    ...(input.previous?.containerStatuses ?? []),
    ...(input.previous?.initContainerStatuses ?? []),
    ...(input.previous?.ephemeralContainerStatuses ?? []),
  ].find((s) => s.name === container.name);
  const waiting = input.waiting.get(container.name);
  if (before?.state?.terminated && !waiting) return before;
  const status: ContainerStatus = {
    name: container.name,
    state: { waiting: waiting ?? { reason: startingReason(input) } },
    ready: false,
    started: false,
    restartCount: before?.restartCount ?? 0,
    image: container.image ?? "",
    imageID: before?.imageID ?? "",
  };
  if (before?.state?.running) {
    status.restartCount++;
    const startedAt = before.state.running.startedAt;
    status.lastState = {
      terminated: {
        exitCode: 137,
        reason: "ContainerStatusUnknown",
        message: "The container could not be located when the pod was deleted.  The container " +
          "used to be Running",
        ...(startedAt ? { startedAt } : {}),
        ...(before.containerID ? { containerID: before.containerID } : {}),
      },
    };
    if (input.pod.metadata.deletionTimestamp) status.state = status.lastState;
    if (role === "ephemeral") return onceOnly(status);
  } else if (before?.state?.terminated) {
    status.lastState = before.state;
  } else if (before?.lastState) {
    status.lastState = before.lastState;
  }
  return status;
}

/** An ephemeral container that vanished has ended: there is no next run. */
function onceOnly({ lastState, ...status }: ContainerStatus): ContainerStatus {
  return { ...status, state: lastState ?? {}, restartCount: 0 };
}

function terminated(run: ObservedContainer, input: StatusInput): ContainerState {
  return {
    terminated: {
      exitCode: run.exitCode,
      reason: run.reason || (run.exitCode === 0 ? "Completed" : "Error"),
      ...(run.message ? { message: run.message } : {}),
      ...(run.startedAtMs > 0 ? { startedAt: toTime(run.startedAtMs) } : {}),
      ...(run.finishedAtMs > 0 ? { finishedAt: toTime(run.finishedAtMs) } : {}),
      containerID: idOf(run, input),
    },
  };
}

function idOf(run: ObservedContainer, input: StatusInput): string {
  return `${input.runtimeName}://${run.id}`;
}
