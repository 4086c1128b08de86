/**
 * The state behind the fake runtime: what a machine with containerd keeps while its clients come
 * and go. Any number of FakeRuntime clients share one world, so a restart of the edge is a second
 * client. Its rules are CRI's: names are unique per attempt, a container needs a ready sandbox and
 * an image, a stopped sandbox has no running container. Time, ids and faults are injected;
 * disposing the world ends its processes.
 */
import { create } from "@bufbuild/protobuf";
import { join } from "@std/path";
import { AppError } from "../../shared/errors.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Random } from "../../shared/random.ts";
import { BoundedQueue } from "../../shared/async/bounded_queue.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import {
  type ContainerConfig,
  type ContainerEventResponse,
  ContainerEventResponseSchema,
  ContainerEventType,
  type CreateContainerRequest,
  type RunPodSandboxRequest,
} from "../../shared/gen/runtime/v1/api_pb.ts";
import { FakeContainer, FakeProcess } from "./fake_container.ts";
import { FakeFaults } from "./fake_faults.ts";
import { FakeImages } from "./fake_images.ts";
import { FakeLog } from "./fake_log.ts";
import { type FakeProgram, programOfCommand, runsUntilStopped } from "./fake_program.ts";
import { FakeSandbox, isHostNetwork, sandboxName } from "./fake_sandbox.ts";

/** A watcher this far behind lists anyway; the oldest event goes. */
const EVENTS_MAX = 1024;

/** 10.244.0.0/16 without its first two and last addresses. */
const ADDRESSES_MAX = 65_533;

export interface FakeWorldOptions {
  clock: Clock;
  random: Random;
  /** What a container does; undefined: what its command says, else it runs until stopped. */
  program?: (config: ContainerConfig) => FakeProgram | undefined;
  /** What a command run in a container does; undefined: what the command says. */
  exec?: (config: ContainerConfig, command: string[]) => FakeProgram | undefined;
  /** Write CRI log files where the pod's configuration says. */
  writeLogs?: boolean;
  /** False: as containerd before 1.7, GetContainerEvents is unimplemented. */
  hasEvents?: boolean;
  /** Where exec, attach and port-forward sessions are served; unset: they are unimplemented. */
  streamingUrl?: string;
}

export class FakeWorld implements AsyncDisposable {
  readonly clock: Clock;
  readonly random: Random;
  readonly options: FakeWorldOptions;
  readonly faults: FakeFaults;
  readonly images: FakeImages;
  readonly sandboxes = new Map<string, FakeSandbox>();
  readonly containers = new Map<string, FakeContainer>();
  /** False: only pods on the host's network can be run. */
  networkReady = true;
  readonly #watchers = new Set<BoundedQueue<ContainerEventResponse>>();
  readonly #scope = new TaskScope();

  constructor(options: FakeWorldOptions) {
    this.options = options;
    this.clock = options.clock;
    this.random = options.random;
    this.faults = new FakeFaults(options.clock);
    this.images = new FakeImages(options.clock);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watcher of this.#watchers) watcher.close();
    await this.#scope[Symbol.asyncDispose]();
  }

  nowNs(): bigint {
    return BigInt(Math.round(this.clock.nowMs())) * 1_000_000n;
  }

  newId(): string {
    return Array.from(this.random.bytes(32), (b) => b.toString(16).padStart(2, "0")).join("");
  }

  sandbox(id: string): FakeSandbox {
    const sandbox = this.sandboxes.get(id);
    if (sandbox) return sandbox;
    throw new AppError("not_found", `an error occurred when try to find sandbox: not found`, {
      id,
    });
  }

  container(id: string): FakeContainer {
    const container = this.containers.get(id);
    if (container) return container;
    throw new AppError(
      "not_found",
      `an error occurred when try to find container "${id}": not found`,
      { id },
    );
  }

  containersOf(sandboxId: string): FakeContainer[] {
    return [...this.containers.values()].filter((each) => each.sandboxId === sandboxId);
  }

  runSandbox(request: RunPodSandboxRequest): string {
    const config = request.config;
    if (!config?.metadata) throw new AppError("invalid", "sandbox config must include metadata");
    const name = sandboxName(config);
    const holder = [...this.sandboxes.values()].find((each) => sandboxName(each.config) === name);
    if (holder) throw reserved("sandbox", name, holder.id);
    const hasAddress = !isHostNetwork(config);
    if (hasAddress && !this.networkReady) {
      throw new AppError(
        "internal",
        `failed to setup network for sandbox "${name}": cni plugin not initialized`,
      );
    }
    const id = this.newId();
    const ip = hasAddress ? this.#freeAddress() : "";
    const { runtimeHandler } = request;
    this.sandboxes.set(
      id,
      new FakeSandbox({ id, config, runtimeHandler, createdAtNs: this.nowNs(), ip }),
    );
    this.#emitOfSandbox(id, ContainerEventType.CONTAINER_CREATED_EVENT);
    this.#emitOfSandbox(id, ContainerEventType.CONTAINER_STARTED_EVENT);
    return id;
  }

  async stopSandbox(id: string): Promise<void> {
    const sandbox = this.sandboxes.get(id);
    if (!sandbox) return;
    await Promise.all(this.containersOf(id).map((each) => this.#kill(each)));
    if (!sandbox.isReady) return;
    sandbox.markStopped();
    this.#emitOfSandbox(id, ContainerEventType.CONTAINER_STOPPED_EVENT);
  }

  async removeSandbox(id: string): Promise<void> {
    if (!this.sandboxes.has(id)) return;
    await this.stopSandbox(id);
    for (const each of this.containersOf(id)) await this.removeContainer(each.id);
    this.#emitOfSandbox(id, ContainerEventType.CONTAINER_DELETED_EVENT);
    this.sandboxes.delete(id);
  }

  createContainer(request: CreateContainerRequest): string {
    const { config, podSandboxId } = request;
    if (!config?.metadata) throw new AppError("invalid", "container config must include metadata");
    const sandbox = this.sandboxes.get(podSandboxId);
    if (!sandbox) {
      throw new AppError("not_found", `failed to find sandbox id "${podSandboxId}": not found`);
    }
    if (!sandbox.isReady) {
      throw new AppError("internal", `sandbox container "${podSandboxId}" is not running`);
    }
    const name = `${config.metadata.name}_${podSandboxId}_${config.metadata.attempt}`;
    const holder = this.containersOf(podSandboxId).find((each) =>
      each.config.metadata?.name === config.metadata?.name &&
      each.config.metadata?.attempt === config.metadata?.attempt
    );
    if (holder) throw reserved("container", name, holder.id);
    const image = this.images.find(config.image?.image ?? "");
    if (!image) {
      throw new AppError(
        "not_found",
        `failed to resolve image "${config.image?.image ?? ""}": not found`,
      );
    }
    const logDirectory = request.sandboxConfig?.logDirectory ?? "";
    const logPath = logDirectory && config.logPath ? join(logDirectory, config.logPath) : "";
    const id = this.newId();
    const createdAtNs = this.nowNs();
    this.containers.set(
      id,
      new FakeContainer({ id, sandboxId: podSandboxId, config, image, createdAtNs, logPath }),
    );
    this.#emit(id, podSandboxId, ContainerEventType.CONTAINER_CREATED_EVENT);
    return id;
  }

  startContainer(id: string): void {
    const container = this.container(id);
    if (container.state.kind !== "created") {
      throw new AppError(
        "internal",
        `failed to start container "${id}": container is in state ${container.state.kind}`,
      );
    }
    if (!this.sandbox(container.sandboxId).isReady) {
      throw new AppError("internal", `sandbox container "${container.sandboxId}" is not running`);
    }
    const program = this.#programOf(container.config);
    try {
      if (program.startError !== undefined) throw new AppError("internal", program.startError);
      const log = this.options.writeLogs && container.logPath
        ? new FakeLog(container.logPath, this.clock)
        : undefined;
      this.#run(container, new FakeProcess(program, this.clock, log));
    } catch (cause) {
      const detail = cause instanceof Error ? cause.message : String(cause);
      const message = `failed to create containerd task: ${detail}`;
      container.markExited({ code: 128, reason: "StartError", message }, this.nowNs());
      throw new AppError("internal", message, { id }, { cause });
    }
  }

  async stopContainer(id: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const state = this.containers.get(id)?.state;
    if (state?.kind !== "running") return;
    const { process } = state;
    if (timeoutMs > 0) {
      process.term(this.#scope);
      await this.#endedWithin(process, timeoutMs, signal);
    }
    process.kill();
    await process.ended;
  }

  async removeContainer(id: string): Promise<void> {
    const container = this.containers.get(id);
    if (!container) return;
    await this.#kill(container);
    this.#emit(id, container.sandboxId, ContainerEventType.CONTAINER_DELETED_EVENT);
    this.containers.delete(id);
  }

  /** Ends a running container as the kernel's OOM killer would, or a crash. */
  async crash(id: string): Promise<void> {
    await this.#kill(this.container(id));
  }

  /** Events from now on; the caller closes what it got with `unwatch`. */
  watch(): BoundedQueue<ContainerEventResponse> {
    const queue = new BoundedQueue<ContainerEventResponse>({
      capacity: EVENTS_MAX,
      onFull: "drop_oldest",
    });
    this.#watchers.add(queue);
    return queue;
  }

  unwatch(queue: BoundedQueue<ContainerEventResponse>): void {
    this.#watchers.delete(queue);
    queue.close();
  }

  /** Takes the runtime down (true) as a stopped service, or brings it up; containers stay. */
  setDown(isDown: boolean): void {
    this.faults.down = isDown;
    if (!isDown) return;
    for (const watcher of [...this.#watchers]) this.unwatch(watcher);
  }

  #programOf(config: ContainerConfig): FakeProgram {
    return this.options.program?.(config) ??
      programOfCommand([...config.command, ...config.args]) ??
      runsUntilStopped();
  }

  #run(container: FakeContainer, process: FakeProcess): void {
    container.markRunning(process, this.nowNs());
    this.#emit(container.id, container.sandboxId, ContainerEventType.CONTAINER_STARTED_EVENT);
    this.#scope.spawn(`container ${container.id}`, async (signal) => {
      try {
        container.markExited(await process.run(signal), this.nowNs());
        this.#emit(container.id, container.sandboxId, ContainerEventType.CONTAINER_STOPPED_EVENT);
      } finally {
        process.markEnded();
      }
    });
  }

  async #kill(container: FakeContainer): Promise<void> {
    if (container.state.kind !== "running") return;
    const { process } = container.state;
    process.kill();
    await process.ended;
  }

  /** Waits for the end or the time-out, whichever is first, and leaves no timer behind. */
  async #endedWithin(process: FakeProcess, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const timer = this.clock.sleep(timeoutMs, AbortSignal.any([signal, over.signal]));
    try {
      await Promise.race([process.ended, timer]);
    } finally {
      over.abort();
      // Lost the race: its rejection is our own abort.
      await timer.catch(() => {});
    }
  }

  #emitOfSandbox(id: string, type: ContainerEventType): void {
    this.#emit(id, id, type);
  }

  #emit(containerId: string, sandboxId: string, type: ContainerEventType): void {
    if (this.#watchers.size === 0) return;
    const sandbox = this.sandboxes.get(sandboxId);
    const event = create(ContainerEventResponseSchema, {
      containerId,
      containerEventType: type,
      createdAt: this.nowNs(),
      ...(sandbox && { podSandboxStatus: sandbox.toStatus() }),
      containersStatuses: this.containersOf(sandboxId).map((each) => each.toStatus()),
    });
    for (const watcher of this.#watchers) watcher.push(event);
  }

  #freeAddress(): string {
    const taken = new Set([...this.sandboxes.values()].map((each) => each.ip));
    for (let n = 2; n < 2 + ADDRESSES_MAX; n++) {
      const ip = `10.244.${n >> 8}.${n & 255}`;
      if (!taken.has(ip)) return ip;
    }
    throw new AppError("exhausted", "failed to setup network for sandbox: no IP addresses left");
  }
}

function reserved(what: "sandbox" | "container", name: string, holderId: string): AppError {
  return new AppError(
    "already_exists",
    `failed to reserve ${what} name "${name}": name "${name}" is reserved for "${holderId}"`,
  );
}
