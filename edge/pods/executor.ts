/**
 * Carries out a plan for one pod: the thin, effectful half. Actions are idempotent and may be cut
 * off at any await; the next observation shows what came of them. A failure becomes an event and,
 * for a container, the reason it waits; only an abort, a lost runtime or a bug is thrown.
 */
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, InvariantError, isAppError } from "../../shared/errors.ts";
import type { Pod, PodStatus } from "../../shared/k8s/types.ts";
import type { PodRef } from "../../shared/wire/report.ts";
import type { ContainerRuntime } from "../cri/port.ts";
import { type BackoffTable, nextBackoff } from "./backoff_table.ts";
import { ContainerStarter } from "./container_starter.ts";
import type { ContainerStopper } from "./container_stopper.ts";
import type { Gate } from "./gate.ts";
import { siblings } from "./housekeeping/log_rotation.ts";
import { ImageError } from "./images.ts";
import type { NodeView } from "./node_view.ts";
import type { ObservedPod } from "./observed.ts";
import type { PodAction, StartContainer, Waiting } from "./plan.ts";
import { findContainer } from "./pod_containers.ts";
import type { PodCgroups } from "./pod_cgroups.ts";
import type { PodEvents } from "./pod_events.ts";
import { podLogDir, toSandboxConfig } from "./to_cri.ts";
import { type PodVolumes, type PreparedVolumes, VolumeError } from "./volumes/pod_volumes.ts";

/** One pod under work; `waiting` and `backoffs` are the worker's own, written here. */
export interface PodWork {
  ref: PodRef;
  pod: Pod | undefined;
  observed: ObservedPod;
  previous: PodStatus | undefined;
  waiting: Map<string, Waiting>;
  backoffs: BackoffTable;
}

export interface WorkSignals {
  /** The agent ends. */
  shutdown: AbortSignal;
  /** Also when what the pod should be has changed: for what may take minutes. */
  patient: AbortSignal;
}

export interface Outcome {
  ok: boolean;
  /** Monotonic; set when the failure itself knows the moment to try again. */
  retryAtMs?: number | undefined;
}

export interface ExecutorOptions {
  runtime: ContainerRuntime;
  events: PodEvents;
  clock: Clock;
  node: NodeView;
  volumes: PodVolumes;
  starter: ContainerStarter;
  stopper: ContainerStopper;
  cgroups: PodCgroups;
  /** Bounds calls that make the runtime work hard, across pods. */
  gate: Gate;
}

const DONE: Outcome = { ok: true };

export class PodExecutor {
  readonly #options: ExecutorOptions;

  constructor(options: ExecutorOptions) {
    this.#options = options;
  }

  async run(
    work: PodWork,
    actions: readonly PodAction[],
    signals: WorkSignals,
  ): Promise<Outcome> {
    const stops = actions.filter((a) => a.kind === "stop_container");
    const stopped = await this.#all(stops.map((a) => this.#guarded(work, a, signals)));
    if (!stopped.ok) return stopped;
    const starts: StartContainer[] = [];
    for (const action of actions) {
      if (action.kind === "stop_container") continue;
      if (action.kind === "start_container") {
        starts.push(action);
        continue;
      }
      const outcome = await this.#guarded(work, action, signals);
      if (!outcome.ok) return outcome;
    }
    return starts.length > 0 ? await this.#startAll(work, starts, signals) : DONE;
  }

  async #all(running: Promise<Outcome>[]): Promise<Outcome> {
    const settled = await Promise.allSettled(running);
    const outcomes = settled.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    });
    return outcomes.find((o) => !o.ok) ?? DONE;
  }

  async #guarded(work: PodWork, action: PodAction, signals: WorkSignals): Promise<Outcome> {
    try {
      await this.#act(work, action, signals);
      return DONE;
    } catch (error) {
      rethrowUnlessFailure(error, signals);
      await this.#report(work, action, error);
      return { ok: false };
    }
  }

  async #act(work: PodWork, action: PodAction, signals: WorkSignals): Promise<void> {
    const { runtime, stopper, node, gate } = this.#options;
    const { shutdown, patient } = signals;
    switch (action.kind) {
      case "run_sandbox":
        return await this.#runSandbox(work, action, shutdown);
      case "stop_sandbox":
        return await gate.run(() => runtime.stopPodSandbox(action.sandboxId, shutdown), shutdown);
      case "remove_sandbox":
        return await gate.run(
          () => runtime.removePodSandbox(action.sandboxId, shutdown),
          shutdown,
          "last",
        );
      case "remove_container":
        await runtime.removeContainer(action.containerId, shutdown);
        return await removeLog(action.logPath);
      case "stop_container": {
        const found = findContainer(work.pod, action.name);
        return await stopper.stop({
          ref: work.ref,
          containerId: action.containerId,
          container: found?.container ?? { name: action.name },
          role: found?.role ?? "main",
          preStop: action.preStop,
          podIp: node.podIp(work.pod, work.observed),
          graceSeconds: action.graceSeconds,
          message: action.message,
        }, patient);
      }
      case "start_container":
        throw new InvariantError("starts are carried out by #startAll");
    }
  }

  async #runSandbox(
    work: PodWork,
    action: { attempt: number; replaces: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const { runtime, volumes, node, events, gate, cgroups } = this.#options;
    const pod = work.pod!; // run_sandbox is planned only for a desired pod
    const problem = node.networkProblem();
    if (problem && !pod.spec.hostNetwork) throw new NetworkNotReady(problem);
    refuseUserNamespace(pod);
    if (action.replaces) {
      await events.emit(work.ref, {
        type: "Normal",
        reason: "SandboxChanged",
        message: "Pod sandbox changed, it will be killed and re-created.",
      });
    }
    await Deno.mkdir(volumes.podDir(work.ref.uid), { recursive: true, mode: 0o750 });
    await volumes.prepare(node.payloadContext(pod, []));
    const context = node.criContext();
    const logDir = podLogDir(work.ref, context.podLogsDir);
    await Deno.mkdir(logDir, { recursive: true, mode: 0o755 });
    const runtimeHandler = node.runtimeHandler(pod);
    await cgroups.ensure(pod);
    const config = toSandboxConfig(pod, action.attempt, context);
    await gate.run(() => runtime.runPodSandbox({ config, runtimeHandler }, signal), signal);
  }

  /** Ordinary containers do not wait for one another's failures; init containers come alone. */
  async #startAll(
    work: PodWork,
    starts: readonly StartContainer[],
    signals: WorkSignals,
  ): Promise<Outcome> {
    const pod = work.pod!; // start_container is planned only for a desired pod
    const sandbox = work.observed.sandboxes.find((s) => s.id === starts[0]!.sandboxId);
    let volumes: PreparedVolumes;
    try {
      const { node } = this.#options;
      const context = node.payloadContext(pod, sandbox?.ips ?? []);
      volumes = await this.#options.volumes.prepare(context);
    } catch (error) {
      rethrowUnlessFailure(error, signals);
      await this.#report(work, starts[0]!, error);
      return { ok: false };
    }
    let result = DONE;
    for (const start of starts) {
      const outcome = await this.#startOne(work, start, volumes, signals);
      if (outcome.ok) continue;
      const retryAtMs = outcome.retryAtMs === undefined || result.retryAtMs === undefined
        ? outcome.retryAtMs ?? result.retryAtMs
        : Math.min(outcome.retryAtMs, result.retryAtMs);
      result = { ok: false, retryAtMs };
    }
    return result;
  }

  async #startOne(
    work: PodWork,
    start: StartContainer,
    volumes: PreparedVolumes,
    signals: WorkSignals,
  ): Promise<Outcome> {
    const { clock, starter } = this.#options;
    if (start.backoff) {
      const { key, endedAtMs } = start.backoff;
      const next = nextBackoff(work.backoffs.get(key), endedAtMs, clock.monotonicMs());
      work.backoffs.set(key, next);
    }
    try {
      await starter.start(work, start, { volumes, signals });
      work.waiting.delete(start.name);
      return DONE;
    } catch (error) {
      rethrowUnlessFailure(error, signals);
      const failure = await starter.explain(work, start, error);
      work.waiting.set(start.name, failure);
      return { ok: false, retryAtMs: error instanceof ImageError ? error.retryAtMs : undefined };
    }
  }

  async #report(work: PodWork, action: PodAction, error: unknown): Promise<void> {
    const cause = errorChain(error);
    const [reason, message] = error instanceof VolumeError
      ? ["FailedMount", error.message]
      : error instanceof NetworkNotReady
      ? ["NetworkNotReady", `network is not ready: ${cause}`]
      : action.kind === "run_sandbox"
      ? ["FailedCreatePodSandBox", `Failed to create pod sandbox: ${cause}`]
      : ["FailedKillPod", `error killing pod: ${cause}`];
    await this.#options.events.emit(work.ref, { type: "Warning", reason, message });
  }
}

class NetworkNotReady extends Error {
  override readonly name = "NetworkNotReady";
}

/** Failures are the pod's; everything else is not ours to swallow. */
function rethrowUnlessFailure(error: unknown, signals: WorkSignals): void {
  if (signals.patient.aborted || signals.shutdown.aborted) throw error;
  if (error instanceof InvariantError) throw error;
  // An ImageError has no cause: a registry that is away is not the runtime.
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (isAppError(cause, "unavailable")) throw cause;
  }
}

async function removeLog(path: string): Promise<void> {
  if (!path) return;
  try {
    for (const rotated of await siblings(path)) await Deno.remove(rotated);
    await Deno.remove(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw new AppError("internal", `Cannot remove log file ${path}`, {}, { cause: error });
  }
}

/** To run as root of the machine what asked not to would be worse than not to run it. */
function refuseUserNamespace(pod: Pod): void {
  if (pod.spec.hostUsers !== false) return;
  const message = "can't set `spec.hostUsers: false`, this node does not support user namespaces";
  throw new AppError("unimplemented", message);
}
