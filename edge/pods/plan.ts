/**
 * What to do next for one pod. Pure: desired pod (or none), what the runtime shows, the status last
 * recorded and the back-off data go in; ordered actions and the moment to look again come out. The
 * worker executes, observes anew and asks again, until there is nothing to do: so a plan holds only
 * the next step, and every action may fail or be lost without harm.
 */
import type { Container, LifecycleHandler, Pod, PodStatus } from "../../shared/k8s/types.ts";
import { type BackoffEntry, backoffUntil, goDuration } from "./backoff_table.ts";
import { containerHash, podTitle } from "./marks.ts";
import {
  currentSandbox,
  isLive,
  newestSandbox,
  type ObservedContainer,
  type ObservedPod,
  type ObservedSandbox,
  runsOf,
} from "./observed.ts";
import { planGarbage } from "./plan_garbage.ts";
import { restartsAfter } from "./plan_restart.ts";
import { type ContainerRole, ephemeralContainers, findContainer } from "./pod_containers.ts";
import { healthOf, type PodHealth } from "./probes/health.ts";

export interface StartContainer {
  kind: "start_container";
  name: string;
  role: ContainerRole;
  attempt: number;
  sandboxId: string;
  /** Set for a restart: the back-off entry to advance, by the moment the last run ended. */
  backoff?: { key: string; endedAtMs: number };
}

export type PodAction =
  | { kind: "run_sandbox"; attempt: number; replaces: boolean }
  | { kind: "stop_sandbox"; sandboxId: string }
  | { kind: "remove_sandbox"; sandboxId: string }
  | StartContainer
  | {
    kind: "stop_container";
    containerId: string;
    name: string;
    graceSeconds: number;
    message: string;
    preStop?: LifecycleHandler;
  }
  | { kind: "remove_container"; containerId: string; logPath: string };

export interface Waiting {
  reason: string;
  message?: string;
}

export interface PodPlan {
  actions: PodAction[];
  /** Monotonic; when to plan again though nothing changes. */
  wakeAtMs: number | undefined;
  /** Containers held back by the restart back-off. */
  backingOff: Map<string, Waiting>;
  /** The pod is to end and nothing of it is left in the runtime. */
  ended: boolean;
}

export interface PlanInput {
  pod: Pod | undefined;
  observed: ObservedPod;
  previous: PodStatus | undefined;
  backoffs: ReadonlyMap<string, BackoffEntry>;
  /** What probes say of running containers. */
  health?: PodHealth;
  /** The site wants the pod stopped, and the cloud has not decided. */
  held?: boolean;
  /** How long the pod has been ending: all its containers share one grace. */
  endingForMs?: number;
  nowMs: number;
}

const GRACE_SECONDS_DEFAULT = 30;
/** How a container ends that is killed. */
const KILLED_CODE = 137;
/** kubelet never gives the runtime less than this to stop a container. */
const GRACE_SECONDS_MIN = 2;

export function planPod(input: PlanInput): PodPlan {
  const { pod, observed, previous } = input;
  if (!pod || pod.metadata.deletionTimestamp) return planEnd(input);
  if (previous?.phase === "Succeeded" || previous?.phase === "Failed" || input.held) {
    const actions = stopEverything(input);
    return plan(actions.length > 0 ? actions : planGarbage(observed));
  }
  return planRunning(pod, input);
}

function plan(actions: PodAction[], rest: Partial<PodPlan> = {}): PodPlan {
  return { actions, wakeAtMs: undefined, backingOff: new Map(), ended: false, ...rest };
}

/** Deleted, or not desired at all: stop, remove, done. */
function planEnd(input: PlanInput): PodPlan {
  const { observed } = input;
  const stop = stopEverything(input);
  if (stop.length > 0) return plan(stop);
  const remove: PodAction[] = observed.containers
    .filter((c) => !observed.sandboxes.some((s) => s.id === c.sandboxId))
    .map((c) => ({ kind: "remove_container", containerId: c.id, logPath: c.logPath }));
  for (const { id } of observed.sandboxes) remove.push({ kind: "remove_sandbox", sandboxId: id });
  return plan(remove, { ended: remove.length === 0 });
}

/** Containers first (sidecars after the ordinary ones, in reverse order), then sandboxes. */
function stopEverything({ pod, observed, endingForMs = 0 }: PlanInput): PodAction[] {
  const live = observed.containers.filter(isLive);
  const sidecars = (pod?.spec?.initContainers ?? []).filter(isSidecar).map((c) => c.name);
  const ordinary = live.filter((c) => !sidecars.includes(c.name));
  const lastSidecar = sidecars.findLast((name) => live.some((c) => c.name === name));
  const now = ordinary.length > 0 ? ordinary : live.filter((c) => c.name === lastSidecar);
  if (now.length > 0) {
    const spent = Math.floor(endingForMs / 1000);
    return now.map((c) => {
      const grace = graceSeconds(pod, c);
      return stopContainer(pod, c, `Stopping container ${c.name}`, grace > 0 ? grace - spent : 0);
    });
  }
  return observed.sandboxes.filter((s) => s.ready)
    .map((s) => ({ kind: "stop_sandbox", sandboxId: s.id }));
}

function graceSeconds(pod: Pod | undefined, container: ObservedContainer): number {
  const grace = pod?.metadata.deletionGracePeriodSeconds ??
    pod?.spec?.terminationGracePeriodSeconds ?? container.graceSeconds ?? GRACE_SECONDS_DEFAULT;
  return grace;
}

function stopContainer(
  pod: Pod | undefined,
  run: ObservedContainer,
  message: string,
  grace = graceSeconds(pod, run),
): PodAction {
  const { id: containerId, name } = run;
  const graceSecondsLeft = Math.max(GRACE_SECONDS_MIN, grace);
  const spec = findContainer(pod, name)?.container;
  const preStop = spec ? spec.lifecycle?.preStop : run.preStop;
  // Who gives no grace wants no farewell either.
  const hook = preStop && grace > 0 ? { preStop } : {};
  return {
    kind: "stop_container",
    containerId,
    name,
    graceSeconds: graceSecondsLeft,
    message,
    ...hook,
  };
}

function planRunning(pod: Pod, input: PlanInput): PodPlan {
  const { observed } = input;
  const sandbox = usableSandbox(pod, observed);
  const surplus = observed.sandboxes.filter((s) => s.ready && s.id !== sandbox?.id);
  if (surplus.length > 0) {
    const doomed = new Set(surplus.map((s) => s.id));
    const live = observed.containers.filter((c) => isLive(c) && doomed.has(c.sandboxId));
    const stops = live.map((c) =>
      stopContainer(
        pod,
        c,
        c.replaced
          ? restartMessage(c.name)
          : "Pod sandbox changed, it will be killed and re-created.",
      )
    );
    return plan([
      ...stops,
      ...surplus.map((s): PodAction => ({ kind: "stop_sandbox", sandboxId: s.id })),
    ]);
  }
  if (!sandbox) {
    const newest = newestSandbox(observed);
    if (newest && !wantsAnyRun(pod, observed)) return plan(planGarbage(observed));
    const attempt = newest ? newest.attempt + 1 : 0;
    return plan([{ kind: "run_sandbox", attempt, replaces: newest !== undefined }]);
  }
  return planContainers(pod, sandbox, input);
}

function restartMessage(name: string): string {
  return `Container ${name} is restarted, as asked at the site`;
}

/** The READY sandbox, unless its network is not the one the pod asks for, or has no address. */
function usableSandbox(pod: Pod, observed: ObservedPod): ObservedSandbox | undefined {
  const sandbox = currentSandbox(observed);
  if (!sandbox) return undefined;
  const hostNetwork = pod.spec.hostNetwork === true;
  if (sandbox.hostNetwork !== hostNetwork) return undefined;
  return hostNetwork || sandbox.ips.length > 0 ? sandbox : undefined;
}

/** False when every container of a pod that lost its sandbox has done its work. */
function wantsAnyRun(pod: Pod, observed: ObservedPod): boolean {
  return pod.spec.containers.some((c) => {
    const last = runsOf(observed, c.name)[0];
    return !last || shouldRestart(pod, c, last);
  });
}

/** True when a run that has ended is to be followed by another. */
export function shouldRestart(pod: Pod, container: Container, last: ObservedContainer): boolean {
  if (last.state !== "exited" || last.replaced) return true;
  return restartsAfter(pod, container, last.exitCode);
}

/** Of an init container: it stays and is restarted like an ordinary one. */
export function isSidecar(container: Container): boolean {
  return container.restartPolicy === "Always";
}

interface Draft {
  actions: PodAction[];
  wakeAtMs: number | undefined;
  backingOff: Map<string, Waiting>;
}

function planContainers(pod: Pod, sandbox: ObservedSandbox, input: PlanInput): PodPlan {
  const { observed } = input;
  const stale = observed.containers
    .filter((c) => c.state === "created" || (c.state === "unknown" && c.sandboxId === sandbox.id))
    .map((c): PodAction => ({ kind: "remove_container", containerId: c.id, logPath: "" }));
  if (stale.length > 0) return plan(stale);

  const draft: Draft = { actions: [], wakeAtMs: undefined, backingOff: new Map() };
  const initialized = planInit(pod, sandbox, input, draft);
  if (initialized) {
    for (const container of pod.spec.containers) {
      planContainer(pod, container, { sandbox, input, draft, role: "main" });
    }
  }
  planEphemeral(pod, sandbox, input, draft);
  const { wakeAtMs, backingOff } = draft;
  const actions = draft.actions.length > 0 ? draft.actions : planGarbage(observed);
  return plan(actions, { wakeAtMs, backingOff });
}

/** One init container at a time; true once all are done and ordinary containers may start. */
function planInit(pod: Pod, sandbox: ObservedSandbox, input: PlanInput, draft: Draft): boolean {
  const here = (name: string) =>
    runsOf(input.observed, name).find((c) => c.sandboxId === sandbox.id);
  const begun = pod.spec.containers.some((c) => here(c.name) !== undefined);
  for (const container of pod.spec.initContainers ?? []) {
    const last = here(container.name);
    if (isSidecar(container)) {
      planContainer(pod, container, { sandbox, input, draft, role: "init" });
      if (!begun && !(last?.state === "running" && isStarted(input, container, last))) return false;
      continue;
    }
    if (begun || (last?.state === "exited" && last.exitCode === 0)) continue;
    if (last?.state === "running") return false;
    if (last && !shouldRestart(pod, container, last)) return false;
    planContainer(pod, container, { sandbox, input, draft, role: "init" });
    return false;
  }
  return true;
}

/** Each runs once, also while the pod is still being initialized; none is waited for. */
function planEphemeral(pod: Pod, sandbox: ObservedSandbox, input: PlanInput, draft: Draft): void {
  for (const { name } of ephemeralContainers(pod)) {
    const before = input.previous?.ephemeralContainerStatuses?.find((s) => s.name === name)?.state;
    const ran = runsOf(input.observed, name).length > 0 || before?.running || before?.terminated;
    if (ran) continue;
    const sandboxId = sandbox.id;
    draft.actions.push({ kind: "start_container", name, role: "ephemeral", attempt: 0, sandboxId });
  }
}

interface ContainerPlace {
  sandbox: ObservedSandbox;
  input: PlanInput;
  draft: Draft;
  role: ContainerRole;
}

function planContainer(pod: Pod, container: Container, place: ContainerPlace): void {
  const { sandbox, input, draft, role } = place;
  const init = role === "init";
  const runs = runsOf(input.observed, container.name);
  const last = runs[0];
  const here = runs.find((c) => c.sandboxId === sandbox.id);
  const hash = containerHash(container);
  if (here?.state === "running") {
    if (here.replaced) {
      draft.actions.push(stopContainer(pod, here, restartMessage(container.name)));
      return;
    }
    const stop = stopRunning(pod, container, here, input);
    if (stop) draft.actions.push(stop);
    return;
  }
  const start: StartContainer = {
    kind: "start_container",
    name: container.name,
    role,
    attempt: nextAttempt(last, input.previous, container.name),
    sandboxId: sandbox.id,
  };
  // What the site ended runs again at once, whatever its back-off.
  if (here?.replaced) {
    draft.actions.push(start);
    return;
  }
  // An init container that ended well in another sandbox runs again in this one, at once.
  if (here && (init && !isSidecar(container) || shouldRestart(pod, container, here))) {
    const key = `${input.observed.uid}/${container.name}/${hash}`;
    const untilMs = backoffUntil(input.backoffs.get(key), here.endedAtMs, input.nowMs);
    if (untilMs !== undefined) {
      holdBack(draft, container.name, untilMs, {
        observed: input.observed,
        delayMs: input.backoffs.get(key)?.delayMs ?? 0,
      });
      return;
    }
    start.backoff = { key, endedAtMs: here.endedAtMs };
  } else if (here || (!init && last && !shouldRestart(pod, container, last))) {
    return;
  }
  draft.actions.push(start);
}

/** A running container that must end: it is another now, or a probe has given it up. */
function stopRunning(
  pod: Pod,
  container: Container,
  run: ObservedContainer,
  input: PlanInput,
): PodAction | undefined {
  const { name } = container;
  if (run.hash !== containerHash(container)) {
    const message = `Container ${name} definition changed, will be restarted`;
    return stopContainer(pod, run, message);
  }
  const { failed } = healthOf(input.health, container, run.id);
  if (!failed) return undefined;
  const probe = failed === "liveness" ? container.livenessProbe : container.startupProbe;
  const grace = probe?.terminationGracePeriodSeconds;
  const restarts = restartsAfter(pod, container, KILLED_CODE);
  const message = `Container ${name} failed ${failed} probe`;
  return stopContainer(pod, run, restarts ? `${message}, will be restarted` : message, grace);
}

function isStarted(input: PlanInput, container: Container, run: ObservedContainer): boolean {
  return healthOf(input.health, container, run.id).started;
}

function holdBack(
  draft: Draft,
  name: string,
  untilMs: number,
  facts: { observed: ObservedPod; delayMs: number },
): void {
  draft.wakeAtMs = Math.min(draft.wakeAtMs ?? untilMs, untilMs);
  draft.backingOff.set(name, {
    reason: "CrashLoopBackOff",
    message: `back-off ${goDuration(facts.delayMs)} restarting failed container=${name} pod=${
      podTitle(facts.observed)
    }`,
  });
}

/** The run after the last one seen; what was recorded counts when the runtime has forgotten it. */
function nextAttempt(
  last: ObservedContainer | undefined,
  previous: PodStatus | undefined,
  name: string,
): number {
  if (last) return Math.max(last.attempt, last.restartCount) + 1;
  const recorded = [
    ...(previous?.containerStatuses ?? []),
    ...(previous?.initContainerStatuses ?? []),
  ].find((s) => s.name === name);
  if (!recorded) return 0;
  const ran = recorded.containerID || recorded.lastState?.terminated || recorded.restartCount > 0;
  // A status of a vanished run was already counted up when it was written.
  const counted = recorded.lastState?.terminated?.reason === "ContainerStatusUnknown";
  return ran && !counted ? recorded.restartCount + 1 : recorded.restartCount;
}
