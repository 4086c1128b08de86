/**
 * The ContainerRuntime that speaks CRI over gRPC to a runtime's Unix socket (containerd, CRI-O).
 *
 * One HTTP/2 connection, opened by the first call, shared by all, and opened anew by the next call
 * after it was lost: a restart of the runtime costs the calls in flight ("unavailable"), never the
 * client. Deadlines are kubelet's. Nothing is repeated here; the pod agent decides again from whole
 * state. After close() no socket, timer or listener is left.
 */
import { type CallOptions, type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AppError, isAppError } from "../../shared/errors.ts";
import { ImageService, RuntimeService } from "../../shared/gen/runtime/v1/api_pb.ts";
import { parseRuntimeEndpoint } from "./endpoint.ts";
import { refuseIfTimedOut, toAppError } from "./error_mapping.ts";
import type * as port from "./port.ts";
import { AUTHORITY, RuntimeSessions } from "./runtime_sessions.ts";
import { withUnary } from "./unary_transport.ts";

/** Kubelet's default for a call (runtimeRequestTimeout). */
const CALL_MS = 120_000;

/** A sandbox waits for its network: twice as long, as kubelet. */
const RUN_SANDBOX_MS = 2 * CALL_MS;

/** Kubelet's limit; lists of a full node stay far below it. */
const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

/** The version kubelet sends; runtimes answer with theirs. */
const KUBE_API_VERSION = "0.1.0";

export class GrpcRuntime implements port.ContainerRuntime {
  readonly #socket: string;
  readonly #sessions: RuntimeSessions;
  readonly #runtime: Client<typeof RuntimeService>;
  readonly #images: Client<typeof ImageService>;
  #closed = false;

  /** `endpoint` is `unix:///path`; throws "invalid" for anything else. Does not connect yet. */
  constructor(endpoint: string) {
    this.#socket = parseRuntimeEndpoint(endpoint);
    this.#sessions = new RuntimeSessions(this.#socket);
    const streaming = createGrpcTransport({
      baseUrl: AUTHORITY,
      sessionManager: this.#sessions,
      readMaxBytes: MESSAGE_BYTES_MAX,
      // Both ends are on one machine: compressing would only burn its CPU.
      acceptCompression: [],
    });
    const limits = { sessions: this.#sessions, readMaxBytes: MESSAGE_BYTES_MAX };
    const transport = withUnary(streaming, limits);
    this.#runtime = createClient(RuntimeService, transport);
    this.#images = createClient(ImageService, transport);
  }

  /** The socket's path, for messages. */
  get socket(): string {
    return this.#socket;
  }

  version(signal?: AbortSignal) {
    return this.#call(
      "Version",
      CALL_MS,
      signal,
      (o) => this.#runtime.version({ version: KUBE_API_VERSION }, o),
    );
  }

  status(request: port.StatusRequest, signal?: AbortSignal) {
    return this.#call("Status", CALL_MS, signal, (o) => this.#runtime.status(request, o));
  }

  async runtimeConfig(signal?: AbortSignal) {
    try {
      const call = this.#call(
        "RuntimeConfig",
        CALL_MS,
        signal,
        (o) => this.#runtime.runtimeConfig({}, o),
      );
      return (await call).linux;
    } catch (error) {
      // Before CRI 1.28 there is no such call; kubelet then uses its own configuration.
      if (isAppError(error, "unimplemented")) return undefined;
      throw error;
    }
  }

  async runPodSandbox(request: port.RunPodSandboxRequest, signal?: AbortSignal) {
    const response = await this.#call(
      "RunPodSandbox",
      RUN_SANDBOX_MS,
      signal,
      (o) => this.#runtime.runPodSandbox(request, o),
    );
    return response.podSandboxId;
  }

  stopPodSandbox(podSandboxId: string, signal?: AbortSignal) {
    return this.#callUntilGone(
      "StopPodSandbox",
      CALL_MS,
      signal,
      (o) => this.#runtime.stopPodSandbox({ podSandboxId }, o),
    );
  }

  removePodSandbox(podSandboxId: string, signal?: AbortSignal) {
    return this.#callUntilGone(
      "RemovePodSandbox",
      CALL_MS,
      signal,
      (o) => this.#runtime.removePodSandbox({ podSandboxId }, o),
    );
  }

  podSandboxStatus(request: port.PodSandboxStatusRequest, signal?: AbortSignal) {
    return this.#call(
      "PodSandboxStatus",
      CALL_MS,
      signal,
      (o) => this.#runtime.podSandboxStatus(request, o),
    );
  }

  async listPodSandbox(filter: port.PodSandboxFilter, signal?: AbortSignal) {
    const response = await this.#call(
      "ListPodSandbox",
      CALL_MS,
      signal,
      (o) => this.#runtime.listPodSandbox({ filter }, o),
    );
    return response.items;
  }

  async createContainer(request: port.CreateContainerRequest, signal?: AbortSignal) {
    const response = await this.#call(
      "CreateContainer",
      CALL_MS,
      signal,
      (o) => this.#runtime.createContainer(request, o),
    );
    return response.containerId;
  }

  async startContainer(containerId: string, signal?: AbortSignal) {
    await this.#call(
      "StartContainer",
      CALL_MS,
      signal,
      (o) => this.#runtime.startContainer({ containerId }, o),
    );
  }

  stopContainer(request: port.StopContainerRequest, signal?: AbortSignal) {
    const timeoutMs = CALL_MS + Number(request.timeout ?? 0n) * 1000;
    return this.#callUntilGone(
      "StopContainer",
      timeoutMs,
      signal,
      (o) => this.#runtime.stopContainer(request, o),
    );
  }

  removeContainer(containerId: string, signal?: AbortSignal) {
    return this.#callUntilGone(
      "RemoveContainer",
      CALL_MS,
      signal,
      (o) => this.#runtime.removeContainer({ containerId }, o),
    );
  }

  async listContainers(filter: port.ContainerFilter, signal?: AbortSignal) {
    const response = await this.#call(
      "ListContainers",
      CALL_MS,
      signal,
      (o) => this.#runtime.listContainers({ filter }, o),
    );
    return response.containers;
  }

  containerStatus(request: port.ContainerStatusRequest, signal?: AbortSignal) {
    return this.#call(
      "ContainerStatus",
      CALL_MS,
      signal,
      (o) => this.#runtime.containerStatus(request, o),
    );
  }

  async updateContainerResources(
    request: port.UpdateContainerResourcesRequest,
    signal?: AbortSignal,
  ) {
    await this.#call(
      "UpdateContainerResources",
      CALL_MS,
      signal,
      (o) => this.#runtime.updateContainerResources(request, o),
    );
  }

  async reopenContainerLog(containerId: string, signal?: AbortSignal) {
    await this.#call(
      "ReopenContainerLog",
      CALL_MS,
      signal,
      (o) => this.#runtime.reopenContainerLog({ containerId }, o),
    );
  }

  async execSync(request: port.ExecSyncRequest, signal?: AbortSignal) {
    const commandMs = Number(request.timeout ?? 0n) * 1000;
    // 0 seconds means that the command may run for ever, so the call may too.
    const timeoutMs = commandMs > 0 ? CALL_MS + commandMs : undefined;
    const answer = await this.#call(
      "ExecSync",
      timeoutMs,
      signal,
      (o) => this.#runtime.execSync(request, o),
    );
    refuseIfTimedOut(answer);
    return answer;
  }

  async exec(request: port.ExecRequest, signal?: AbortSignal) {
    const call = this.#call("Exec", CALL_MS, signal, (o) => this.#runtime.exec(request, o));
    return (await call).url;
  }

  async attach(request: port.AttachRequest, signal?: AbortSignal) {
    const call = this.#call("Attach", CALL_MS, signal, (o) => this.#runtime.attach(request, o));
    return (await call).url;
  }

  async portForward(request: port.PortForwardRequest, signal?: AbortSignal) {
    const response = await this.#call(
      "PortForward",
      CALL_MS,
      signal,
      (o) => this.#runtime.portForward(request, o),
    );
    return response.url;
  }

  async containerStats(containerId: string, signal?: AbortSignal) {
    const response = await this.#call(
      "ContainerStats",
      CALL_MS,
      signal,
      (o) => this.#runtime.containerStats({ containerId }, o),
    );
    return response.stats;
  }

  async listContainerStats(filter: port.ContainerStatsFilter, signal?: AbortSignal) {
    const response = await this.#call(
      "ListContainerStats",
      CALL_MS,
      signal,
      (o) => this.#runtime.listContainerStats({ filter }, o),
    );
    return response.stats;
  }

  async podSandboxStats(podSandboxId: string, signal?: AbortSignal) {
    const response = await this.#call(
      "PodSandboxStats",
      CALL_MS,
      signal,
      (o) => this.#runtime.podSandboxStats({ podSandboxId }, o),
    );
    return response.stats;
  }

  async listPodSandboxStats(filter: port.PodSandboxStatsFilter, signal?: AbortSignal) {
    const response = await this.#call(
      "ListPodSandboxStats",
      CALL_MS,
      signal,
      (o) => this.#runtime.listPodSandboxStats({ filter }, o),
    );
    return response.stats;
  }

  async listImages(filter: port.ImageFilter, signal?: AbortSignal) {
    if (filter.image?.image) {
      // containerd ignores the filter and lists everything; ImageStatus answers the same question.
      const { image } = await this.imageStatus(filter.image, signal);
      return image ? [image] : [];
    }
    const response = await this.#call(
      "ListImages",
      CALL_MS,
      signal,
      (o) => this.#images.listImages({ filter }, o),
    );
    return response.images;
  }

  imageStatus(image: port.ImageSpec, signal?: AbortSignal) {
    return this.#call(
      "ImageStatus",
      CALL_MS,
      signal,
      (o) => this.#images.imageStatus({ image }, o),
    );
  }

  async pullImage(request: port.PullImageRequest, signal?: AbortSignal) {
    const response = await this.#call(
      "PullImage",
      undefined, // as long as it takes; the runtime gives up on a pull without progress
      signal,
      (o) => this.#images.pullImage(request, o),
    );
    return response.imageRef;
  }

  removeImage(image: port.ImageSpec, signal?: AbortSignal) {
    return this.#callUntilGone(
      "RemoveImage",
      CALL_MS,
      signal,
      (o) => this.#images.removeImage({ image }, o),
    );
  }

  imageFsInfo(signal?: AbortSignal) {
    return this.#call("ImageFsInfo", CALL_MS, signal, (o) => this.#images.imageFsInfo({}, o));
  }

  async *containerEvents(signal: AbortSignal) {
    const call = "GetContainerEvents";
    // A consumer that leaves its loop ends the stream too, not only the caller's signal.
    const left = new AbortController();
    try {
      this.#refuseIfClosed(call);
      const streamSignal = AbortSignal.any([signal, left.signal]);
      yield* this.#runtime.getContainerEvents({}, { signal: streamSignal });
    } catch (error) {
      throw this.#thrown(call, error, signal);
    } finally {
      left.abort();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#sessions.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #call<T>(
    call: string,
    timeoutMs: number | undefined,
    signal: AbortSignal | undefined,
    run: (options: CallOptions) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    this.#refuseIfClosed(call);
    const options: CallOptions = {};
    if (timeoutMs !== undefined) options.timeoutMs = timeoutMs;
    if (signal) options.signal = signal;
    try {
      return await run(options);
    } catch (error) {
      throw this.#thrown(call, error, signal);
    }
  }

  /** For stop and remove: that there is nothing (left) to stop or remove is the goal. */
  async #callUntilGone(
    call: string,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    run: (options: CallOptions) => Promise<unknown>,
  ): Promise<void> {
    try {
      await this.#call(call, timeoutMs, signal, run);
    } catch (error) {
      if (!isAppError(error, "not_found")) throw error;
    }
  }

  #refuseIfClosed(call: string): void {
    if (!this.#closed) return;
    throw new AppError("canceled", `Cannot do ${call}: runtime client is closed`, { call });
  }

  #thrown(call: string, error: unknown, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return signal.reason;
    if (this.#closed && !isAppError(error)) {
      return new AppError("canceled", `Cannot finish ${call}: runtime client was closed`, { call });
    }
    return toAppError(error, { call, socket: this.#socket });
  }
}
