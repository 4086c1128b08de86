/**
 * The ContainerRuntime port over a FakeWorld, for tests and simulation: a client of the fake
 * runtime that behaves as GrpcRuntime does before a real one. Faults strike before the world is
 * touched; closing a client ends its calls and leaves the world as it is.
 */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { AppError } from "../../shared/errors.ts";
import * as cri from "../../shared/gen/runtime/v1/api_pb.ts";
import type { FakeContainer } from "./fake_container.ts";
import { fakeExec } from "./fake_exec.ts";
import type { FakeWorld } from "./fake_world.ts";
import { containerStatsOf, matchesLabels, sandboxStatsOf } from "./fake_views.ts";
import type * as port from "./port.ts";

export class FakeRuntime implements port.ContainerRuntime {
  readonly world: FakeWorld;
  readonly #closing = new AbortController();

  constructor(world: FakeWorld) {
    this.world = world;
  }

  version(signal?: AbortSignal): Promise<cri.VersionResponse> {
    return this.#call("Version", signal, () =>
      create(cri.VersionResponseSchema, {
        version: "0.1.0",
        runtimeName: "fake",
        runtimeVersion: "1.0.0",
        runtimeApiVersion: "v1",
      }));
  }

  status(_request: port.StatusRequest, signal?: AbortSignal): Promise<cri.StatusResponse> {
    return this.#call("Status", signal, () => {
      const isUp = this.world.networkReady;
      const network = {
        type: "NetworkReady",
        status: isUp,
        reason: isUp ? "" : "NetworkPluginNotReady",
        message: isUp ? "" : "Network plugin returns error: cni plugin not initialized",
      };
      return create(cri.StatusResponseSchema, {
        status: { conditions: [{ type: "RuntimeReady", status: true }, network] },
      });
    });
  }

  runtimeConfig(signal?: AbortSignal) {
    return this.#call("RuntimeConfig", signal, () =>
      create(cri.LinuxRuntimeConfigurationSchema, {
        cgroupDriver: cri.CgroupDriver.CGROUPFS,
      }));
  }

  runPodSandbox(request: port.RunPodSandboxRequest, signal?: AbortSignal): Promise<string> {
    const copy = copyOf(cri.RunPodSandboxRequestSchema, request);
    return this.#call("RunPodSandbox", signal, () => this.world.runSandbox(copy));
  }

  stopPodSandbox(podSandboxId: string, signal?: AbortSignal): Promise<void> {
    return this.#call("StopPodSandbox", signal, () => this.world.stopSandbox(podSandboxId));
  }

  removePodSandbox(podSandboxId: string, signal?: AbortSignal): Promise<void> {
    return this.#call("RemovePodSandbox", signal, () => this.world.removeSandbox(podSandboxId));
  }

  podSandboxStatus(request: port.PodSandboxStatusRequest, signal?: AbortSignal) {
    return this.#call("PodSandboxStatus", signal, () =>
      create(cri.PodSandboxStatusResponseSchema, {
        status: this.world.sandbox(request.podSandboxId ?? "").toStatus(),
      }));
  }

  listPodSandbox(filter: port.PodSandboxFilter, signal?: AbortSignal) {
    return this.#call(
      "ListPodSandbox",
      signal,
      () =>
        [...this.world.sandboxes.values()].filter((each) =>
          (!filter.id || each.id === filter.id) &&
          (!filter.state || each.stateCode() === (filter.state.state ?? 0)) &&
          matchesLabels(each.config.labels, filter.labelSelector)
        ).map((each) => each.toPodSandbox()),
    );
  }

  createContainer(request: port.CreateContainerRequest, signal?: AbortSignal): Promise<string> {
    const copy = copyOf(cri.CreateContainerRequestSchema, request);
    return this.#call("CreateContainer", signal, () => this.world.createContainer(copy));
  }

  startContainer(containerId: string, signal?: AbortSignal): Promise<void> {
    return this.#call("StartContainer", signal, () => this.world.startContainer(containerId));
  }

  stopContainer(request: port.StopContainerRequest, signal?: AbortSignal): Promise<void> {
    const timeoutMs = Number(request.timeout ?? 0n) * 1000;
    return this.#call(
      "StopContainer",
      signal,
      (both) => this.world.stopContainer(request.containerId ?? "", timeoutMs, both()),
    );
  }

  removeContainer(containerId: string, signal?: AbortSignal): Promise<void> {
    return this.#call("RemoveContainer", signal, () => this.world.removeContainer(containerId));
  }

  listContainers(filter: port.ContainerFilter, signal?: AbortSignal): Promise<cri.Container[]> {
    return this.#call(
      "ListContainers",
      signal,
      () =>
        [...this.world.containers.values()].filter((each) =>
          (!filter.id || each.id === filter.id) &&
          (!filter.podSandboxId || each.sandboxId === filter.podSandboxId) &&
          (!filter.state || each.stateCode() === (filter.state.state ?? 0)) &&
          matchesLabels(each.config.labels, filter.labelSelector)
        ).map((each) => each.toContainer()),
    );
  }

  containerStatus(request: port.ContainerStatusRequest, signal?: AbortSignal) {
    return this.#call("ContainerStatus", signal, () =>
      create(cri.ContainerStatusResponseSchema, {
        status: this.world.container(request.containerId ?? "").toStatus(),
      }));
  }

  updateContainerResources(
    request: port.UpdateContainerResourcesRequest,
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#call("UpdateContainerResources", signal, () => {
      const container = this.world.container(request.containerId ?? "");
      if (container.state.kind === "exited") {
        throw new AppError("internal", "failed to update resources: container is exited");
      }
      if (!request.linux) return;
      const resources = copyOf(cri.LinuxContainerResourcesSchema, request.linux);
      container.config.linux ??= create(cri.LinuxContainerConfigSchema);
      container.config.linux.resources = resources;
    });
  }

  reopenContainerLog(containerId: string, signal?: AbortSignal): Promise<void> {
    return this.#call("ReopenContainerLog", signal, () => {
      const container = this.world.container(containerId);
      if (container.state.kind !== "running") {
        throw new AppError("internal", "container is not running");
      }
      container.state.process.reopenLog();
    });
  }

  execSync(request: port.ExecSyncRequest, signal?: AbortSignal): Promise<cri.ExecSyncResponse> {
    const copy = copyOf(cri.ExecSyncRequestSchema, request);
    return this.#call("ExecSync", signal, (both) => fakeExec(this.world, copy, both()));
  }

  exec(request: port.ExecRequest, signal?: AbortSignal): Promise<string> {
    return this.#call("Exec", signal, () => {
      const { tty = false, stdin = false, stdout = false, stderr = false } = request;
      this.#streamable(request.containerId).running();
      checkStreams({ tty, stdin, stdout, stderr });
      return this.#sessionUrl("exec");
    });
  }

  attach(request: port.AttachRequest, signal?: AbortSignal): Promise<string> {
    return this.#call("Attach", signal, () => {
      const { tty = false, stdin = false, stdout = false, stderr = false } = request;
      this.#streamable(request.containerId).running();
      checkStreams({ tty, stdin, stdout, stderr });
      return this.#sessionUrl("attach");
    });
  }

  portForward(request: port.PortForwardRequest, signal?: AbortSignal): Promise<string> {
    return this.#call("PortForward", signal, () => {
      if (!this.world.sandbox(request.podSandboxId ?? "").isReady) {
        throw new AppError("internal", "sandbox container is not running");
      }
      return this.#sessionUrl("portforward");
    });
  }

  containerStats(containerId: string, signal?: AbortSignal) {
    return this.#call(
      "ContainerStats",
      signal,
      () => containerStatsOf(this.world.container(containerId), this.world.nowNs()),
    );
  }

  listContainerStats(filter: port.ContainerStatsFilter, signal?: AbortSignal) {
    return this.#call(
      "ListContainerStats",
      signal,
      () =>
        [...this.world.containers.values()].filter((each) =>
          (!filter.id || each.id === filter.id) &&
          (!filter.podSandboxId || each.sandboxId === filter.podSandboxId) &&
          matchesLabels(each.config.labels, filter.labelSelector)
        ).map((each) => containerStatsOf(each, this.world.nowNs())).filter((each) => !!each),
    );
  }

  podSandboxStats(podSandboxId: string, signal?: AbortSignal) {
    return this.#call(
      "PodSandboxStats",
      signal,
      () => this.#sandboxStats(podSandboxId),
    );
  }

  listPodSandboxStats(filter: port.PodSandboxStatsFilter, signal?: AbortSignal) {
    return this.#call(
      "ListPodSandboxStats",
      signal,
      () =>
        [...this.world.sandboxes.values()].filter((each) =>
          each.isReady && (!filter.id || each.id === filter.id) &&
          matchesLabels(each.config.labels, filter.labelSelector)
        ).map((each) => this.#sandboxStats(each.id)),
    );
  }

  listImages(filter: port.ImageFilter, signal?: AbortSignal): Promise<cri.Image[]> {
    return this.#call("ListImages", signal, () => this.world.images.list(filter));
  }

  imageStatus(image: port.ImageSpec, signal?: AbortSignal): Promise<cri.ImageStatusResponse> {
    return this.#call("ImageStatus", signal, () => {
      const found = this.world.images.find(image.image ?? "");
      return create(cri.ImageStatusResponseSchema, found ? { image: found } : {});
    });
  }

  pullImage(request: port.PullImageRequest, signal?: AbortSignal): Promise<string> {
    return this.#call(
      "PullImage",
      signal,
      (both) => this.world.images.pull(request.image ?? {}, both()),
    );
  }

  removeImage(image: port.ImageSpec, signal?: AbortSignal): Promise<void> {
    return this.#call("RemoveImage", signal, () => this.world.images.remove(image));
  }

  imageFsInfo(signal?: AbortSignal): Promise<cri.ImageFsInfoResponse> {
    return this.#call("ImageFsInfo", signal, () =>
      create(cri.ImageFsInfoResponseSchema, {
        imageFilesystems: [{
          timestamp: this.world.nowNs(),
          fsId: { mountpoint: "/" },
          usedBytes: { value: this.world.images.usedBytes() },
          inodesUsed: { value: BigInt(this.world.images.list({}).length) },
        }],
      }));
  }

  async *containerEvents(signal: AbortSignal): AsyncGenerator<cri.ContainerEventResponse> {
    const call = "GetContainerEvents";
    // Entering the watch must not wait: what happens after the first next() is seen.
    signal.throwIfAborted();
    this.#refuseIfClosed(call);
    this.world.faults.refuseIfDown(call);
    if (this.world.options.hasEvents === false) {
      throw new AppError("unimplemented", "method GetContainerEvents not implemented", { call });
    }
    const both = AbortSignal.any([signal, this.#closing.signal]);
    const queue = this.world.watch();
    try {
      for (let event = await queue.take(both); event; event = await queue.take(both)) yield event;
      this.world.faults.refuseIfDown(call);
    } finally {
      this.world.unwatch(queue);
    }
  }

  close(): Promise<void> {
    this.#closing.abort(new AppError("canceled", "Cannot finish call: runtime client was closed"));
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #sandboxStats(id: string): cri.PodSandboxStats {
    const containers = this.world.containersOf(id);
    return sandboxStatsOf(this.world.sandbox(id), containers, this.world.nowNs());
  }

  #streamable(containerId: string | undefined): FakeContainer {
    return this.world.container(containerId ?? "");
  }

  #sessionUrl(verb: string): string {
    const base = this.world.options.streamingUrl;
    if (base) return `${base}/${verb}/${this.world.newId().slice(0, 8)}`;
    throw new AppError("unimplemented", "this fake runtime has no streaming server");
  }

  #refuseIfClosed(call: string): void {
    if (!this.#closing.signal.aborted) return;
    throw new AppError("canceled", `Cannot do ${call}: runtime client is closed`, { call });
  }

  async #call<T>(
    call: string,
    signal: AbortSignal | undefined,
    run: (both: () => AbortSignal) => T | Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    this.#refuseIfClosed(call);
    const closing = this.#closing.signal;
    // joined only where something may wait: most calls are over at once
    const both = () => signal ? AbortSignal.any([signal, closing]) : closing;
    await this.world.faults.strike(call, both);
    const result = await run(both);
    // A runtime that went down meanwhile has done the work, but nobody hears of it.
    this.world.faults.refuseIfDown(call);
    return result;
  }
}

/** A copy, as the wire would make one: later changes to the caller's objects are not seen. */
function copyOf<D extends DescMessage>(schema: D, init: MessageInitShape<D>) {
  return fromBinary(schema, toBinary(schema, create(schema, init)));
}

/** What the runtime checks before it opens a session. */
function checkStreams(
  streams: { tty: boolean; stdin: boolean; stdout: boolean; stderr: boolean },
): void {
  if (streams.tty && streams.stderr) {
    throw new AppError("invalid", "tty and stderr cannot both be true");
  }
  if (!streams.stdin && !streams.stdout && !streams.stderr) {
    throw new AppError("invalid", "one of stdin, stdout, or stderr must be set");
  }
}
