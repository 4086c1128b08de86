/**
 * Ends one container as kubelet does: the Killing event, its preStop hook, then the stop signal and
 * KILL; hook and signal share one grace, of which at least two seconds are left for the signal. A
 * hook is run once per container, however often its end is tried or hastened.
 */
import type { Clock } from "../../shared/clock.ts";
import { isAppError } from "../../shared/errors.ts";
import type { Container, LifecycleHandler } from "../../shared/k8s/types.ts";
import type { PodRef } from "../../shared/wire/report.ts";
import type { ContainerRuntime } from "../cri/port.ts";
import { HookError, type Hooks } from "./hooks.ts";
import type { ContainerRole } from "./pod_containers.ts";
import type { PodEvents } from "./pod_events.ts";
import { OverdueError, within } from "./within.ts";

/** kubelet never gives the runtime less than this to stop a container. */
export const GRACE_SECONDS_MIN = 2;

export interface StopRequest {
  ref: PodRef;
  containerId: string;
  container: Container;
  role: ContainerRole;
  preStop: LifecycleHandler | undefined;
  podIp: string;
  graceSeconds: number;
  message: string;
}

export interface StopperOptions {
  runtime: ContainerRuntime;
  events: PodEvents;
  hooks: Hooks;
  clock: Clock;
}

/** Containers of the node at most; older ones are long gone. */
const HOOKED_MAX = 10_000;

export class ContainerStopper {
  readonly #options: StopperOptions;
  readonly #hooked = new Set<string>();

  constructor(options: StopperOptions) {
    this.#options = options;
  }

  async stop(request: StopRequest, signal: AbortSignal): Promise<void> {
    const { runtime, clock } = this.#options;
    const { containerId, graceSeconds } = request;
    await this.#tell(request, "Normal", "Killing", request.message);
    const startedAtMs = clock.monotonicMs();
    if (request.preStop && graceSeconds > 0) {
      await this.#preStop(request, request.preStop, signal);
    }
    const spent = Math.floor((clock.monotonicMs() - startedAtMs) / 1000);
    const left = Math.max(GRACE_SECONDS_MIN, Math.floor(graceSeconds) - spent);
    await runtime.stopContainer({ containerId, timeout: BigInt(left) }, signal);
    this.#hooked.delete(containerId);
  }

  async #preStop(
    request: StopRequest,
    handler: LifecycleHandler,
    signal: AbortSignal,
  ): Promise<void> {
    const { hooks, clock } = this.#options;
    if (this.#hooked.has(request.containerId)) return;
    if (this.#hooked.size >= HOOKED_MAX) this.#hooked.clear();
    this.#hooked.add(request.containerId);
    try {
      const run = (bound: AbortSignal) => hooks.run(handler, request, bound);
      await within(clock, request.graceSeconds * 1000, run, signal);
    } catch (error) {
      const isOver = error instanceof OverdueError || error instanceof HookError;
      if (!isOver && !isAppError(error, "not_found", "invalid")) throw error;
      await this.#tell(request, "Warning", "FailedPreStopHook", "PreStopHook failed");
    }
  }

  #tell(
    { ref, container, role }: StopRequest,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
  ): Promise<void> {
    const about = { name: container.name, role };
    return this.#options.events.emit(ref, { type, reason, message, container: about });
  }
}
