/**
 * One container of the fake runtime: its record, its lifecycle, and the process that runs its
 * program on the injected clock.
 *
 *     created -> running -> exited        created -> exited (start failed)
 */
import { create } from "@bufbuild/protobuf";
import { AppError } from "../../shared/errors.ts";
import type { Clock } from "../../shared/clock.ts";
import { type TaskScope, untilAborted } from "../../shared/async/task_scope.ts";
import {
  type Container,
  type ContainerConfig,
  ContainerSchema,
  ContainerState,
  type ContainerStatus,
  ContainerStatusSchema,
  type Image,
} from "../../shared/gen/runtime/v1/api_pb.ts";
import type { FakeLog } from "./fake_log.ts";
import type { FakeProgram, FakeStep } from "./fake_program.ts";

/** Killed by SIGKILL: 128 + 9. */
const KILLED_CODE = 137;

interface Outcome {
  code: number;
  reason?: string;
}

export type FakeContainerState =
  | { kind: "created" }
  | { kind: "running"; startedAtNs: bigint; process: FakeProcess }
  | {
    kind: "exited";
    startedAtNs: bigint;
    finishedAtNs: bigint;
    exitCode: number;
    reason: string;
    message: string;
  };

/** Runs a program; whoever stops it waits for `ended`. */
export class FakeProcess {
  readonly #program: FakeProgram;
  readonly #clock: Clock;
  readonly #log: FakeLog | undefined;
  readonly #stop = new AbortController();
  readonly #ended = Promise.withResolvers<void>();
  #stopped: Outcome | undefined;

  constructor(program: FakeProgram, clock: Clock, log: FakeLog | undefined) {
    this.#program = program;
    this.#clock = clock;
    this.#log = log;
  }

  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Resolves with how it ended; rejects only when `signal` aborts. */
  async run(signal: AbortSignal): Promise<Outcome> {
    try {
      return await this.#steps(AbortSignal.any([signal, this.#stop.signal]));
    } catch (error) {
      if (this.#stopped) return this.#stopped;
      throw error;
    } finally {
      this.#log?.close();
    }
  }

  /** The owner says so after it has recorded the outcome. */
  markEnded(): void {
    this.#ended.resolve();
  }

  reopenLog(): void {
    this.#log?.reopen();
  }

  /** The stop signal; what it does is the program's. */
  term(scope: TaskScope): void {
    const onTerm = this.#program.onTerm;
    if (onTerm === "ignore") return;
    if (onTerm.afterMs === 0) return this.#end({ code: onTerm.code });
    scope.spawn("stop signal", async (signal) => {
      await this.#clock.sleep(onTerm.afterMs, signal);
      this.#end({ code: onTerm.code });
    });
  }

  kill(): void {
    this.#end({ code: KILLED_CODE });
  }

  #end(outcome: Outcome): void {
    this.#stopped ??= outcome;
    this.#stop.abort();
  }

  async #steps(signal: AbortSignal): Promise<Outcome> {
    const { steps, loop } = this.#program;
    let outcome = await this.#round(steps, signal);
    while (loop && !outcome) outcome = await this.#round(loop, signal);
    return outcome ?? { code: 0 };
  }

  async #round(steps: FakeStep[], signal: AbortSignal): Promise<Outcome | undefined> {
    for (const step of steps) {
      signal.throwIfAborted();
      if (step.kind === "exit") return step;
      if (step.kind === "print") this.#log?.write(step.stream, step.text);
      else await sleep(this.#clock, step.ms, signal);
    }
    return undefined;
  }
}

/** As clock.sleep, and for ever when `ms` is Infinity. */
export async function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (Number.isFinite(ms)) return await clock.sleep(ms, signal);
  await untilAborted(signal);
  throw signal.reason;
}

export interface FakeContainerInit {
  id: string;
  sandboxId: string;
  config: ContainerConfig;
  image: Image;
  createdAtNs: bigint;
  logPath: string;
}

export class FakeContainer {
  readonly id: string;
  readonly sandboxId: string;
  readonly config: ContainerConfig;
  readonly image: Image;
  readonly logPath: string;
  readonly #createdAtNs: bigint;
  #state: FakeContainerState = { kind: "created" };

  constructor(init: FakeContainerInit) {
    this.id = init.id;
    this.sandboxId = init.sandboxId;
    this.config = init.config;
    this.image = init.image;
    this.logPath = init.logPath;
    this.#createdAtNs = init.createdAtNs;
  }

  get state(): FakeContainerState {
    return this.#state;
  }

  markRunning(process: FakeProcess, nowNs: bigint): void {
    this.#state = { kind: "running", startedAtNs: nowNs, process };
  }

  /** Ends it; `reason` as containerd words it unless the program gave one. */
  markExited(outcome: Outcome & { message?: string }, nowNs: bigint): void {
    const startedAtNs = this.#state.kind === "running" ? this.#state.startedAtNs : 0n;
    this.#state = {
      kind: "exited",
      startedAtNs,
      finishedAtNs: nowNs,
      exitCode: outcome.code,
      reason: outcome.reason ?? (outcome.code === 0 ? "Completed" : "Error"),
      message: outcome.message ?? "",
    };
  }

  /** The process, or an error in the runtime's words when it does not run. */
  running(): FakeProcess {
    if (this.#state.kind === "running") return this.#state.process;
    throw new AppError("internal", `container is in ${ContainerState[this.stateCode()]} state`);
  }

  stateCode(): ContainerState {
    switch (this.#state.kind) {
      case "created":
        return ContainerState.CONTAINER_CREATED;
      case "running":
        return ContainerState.CONTAINER_RUNNING;
      case "exited":
        return ContainerState.CONTAINER_EXITED;
    }
  }

  toContainer(): Container {
    const { metadata, image, labels, annotations } = this.config;
    return create(ContainerSchema, {
      id: this.id,
      podSandboxId: this.sandboxId,
      ...(metadata && { metadata }),
      ...(image && { image }),
      imageRef: this.#imageRef(),
      imageId: this.image.id,
      state: this.stateCode(),
      createdAt: this.#createdAtNs,
      labels,
      annotations,
    });
  }

  toStatus(): ContainerStatus {
    const { metadata, image, labels, annotations, mounts, linux } = this.config;
    const state = this.#state;
    const isExited = state.kind === "exited";
    return create(ContainerStatusSchema, {
      id: this.id,
      ...(metadata && { metadata }),
      ...(image && { image }),
      state: this.stateCode(),
      createdAt: this.#createdAtNs,
      startedAt: state.kind === "created" ? 0n : state.startedAtNs,
      finishedAt: isExited ? state.finishedAtNs : 0n,
      exitCode: isExited ? state.exitCode : 0,
      reason: isExited ? state.reason : "",
      message: isExited ? state.message : "",
      imageRef: this.#imageRef(),
      imageId: this.image.id,
      labels,
      annotations,
      mounts,
      logPath: this.logPath,
      ...(linux?.resources && { resources: { linux: linux.resources } }),
    });
  }

  /** The digested reference, as it is shown in pod status. */
  #imageRef(): string {
    return this.image.repoDigests[0] ?? this.image.id;
  }
}
