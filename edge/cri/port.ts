/**
 * The container runtime as the pod agent uses it: the calls of CRI `runtime.v1`, one method each. A
 * method takes the request as a plain object (fields left out have their proto3 default) and the
 * caller's AbortSignal last; it resolves with the part of the answer that carries information.
 *
 * Every implementation: rejects with an AppError ("not_found", "unavailable", ...; the runtime's
 * own words in the message), or with the signal's reason once that aborts; holds kubelet's deadline
 * for each call by itself; treats stopping or removing what is not there as done. Times are
 * nanoseconds since 1970 as bigint, 0 = not set.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { isAppError } from "../../shared/errors.ts";
import type {
  AttachRequestSchema,
  Container,
  ContainerEventResponse,
  ContainerFilterSchema,
  ContainerStats,
  ContainerStatsFilterSchema,
  ContainerStatusRequestSchema,
  ContainerStatusResponse,
  CreateContainerRequestSchema,
  ExecRequestSchema,
  ExecSyncRequestSchema,
  ExecSyncResponse,
  Image,
  ImageFilterSchema,
  ImageFsInfoResponse,
  ImageSpecSchema,
  ImageStatusResponse,
  LinuxRuntimeConfiguration,
  PodSandbox,
  PodSandboxFilterSchema,
  PodSandboxStats,
  PodSandboxStatsFilterSchema,
  PodSandboxStatusRequestSchema,
  PodSandboxStatusResponse,
  PortForwardRequestSchema,
  PullImageRequestSchema,
  RunPodSandboxRequestSchema,
  StatusRequestSchema,
  StatusResponse,
  StopContainerRequestSchema,
  UpdateContainerResourcesRequestSchema,
  VersionResponse,
} from "../../shared/gen/runtime/v1/api_pb.ts";

/** `facts.reason` of an "unavailable" error that means: the call's deadline passed. */
export const DEADLINE_REASON = "deadline_exceeded";

/** True when a call ended because its deadline passed; for execSync: the command ran too long. */
export function isDeadline(error: unknown): boolean {
  return isAppError(error) && error.facts.reason === DEADLINE_REASON;
}

export interface ContainerRuntime extends AsyncDisposable {
  version(signal?: AbortSignal): Promise<VersionResponse>;
  /** Conditions RuntimeReady and NetworkReady, handlers, features. */
  status(request: StatusRequest, signal?: AbortSignal): Promise<StatusResponse>;
  /**
   * The runtime's cgroup driver; undefined when the runtime is too old to say (before CRI 1.28).
   */
  runtimeConfig(signal?: AbortSignal): Promise<LinuxRuntimeConfiguration | undefined>;

  /** Resolves with the sandbox id once it is READY: pause process up, network attached. */
  runPodSandbox(request: RunPodSandboxRequest, signal?: AbortSignal): Promise<string>;
  /** Kills what still runs in it and detaches its network. A missing sandbox is done. */
  stopPodSandbox(podSandboxId: string, signal?: AbortSignal): Promise<void>;
  /** Removes it with its containers. A missing sandbox is done. */
  removePodSandbox(podSandboxId: string, signal?: AbortSignal): Promise<void>;
  /** Rejects with "not_found" for a missing sandbox. */
  podSandboxStatus(
    request: PodSandboxStatusRequest,
    signal?: AbortSignal,
  ): Promise<PodSandboxStatusResponse>;
  /** The fields of a filter AND; its labels match exactly. */
  listPodSandbox(filter: PodSandboxFilter, signal?: AbortSignal): Promise<PodSandbox[]>;

  /**
   * Resolves with the container id. `sandboxConfig` is the one given to runPodSandbox, unchanged.
   */
  createContainer(request: CreateContainerRequest, signal?: AbortSignal): Promise<string>;
  startContainer(containerId: string, signal?: AbortSignal): Promise<void>;
  /** Stop signal, then SIGKILL after `timeout` seconds (0: at once). Missing or ended is done. */
  stopContainer(request: StopContainerRequest, signal?: AbortSignal): Promise<void>;
  /** Kills it first if it runs. A missing container is done. */
  removeContainer(containerId: string, signal?: AbortSignal): Promise<void>;
  listContainers(filter: ContainerFilter, signal?: AbortSignal): Promise<Container[]>;
  /** Rejects with "not_found" for a missing container. */
  containerStatus(
    request: ContainerStatusRequest,
    signal?: AbortSignal,
  ): Promise<ContainerStatusResponse>;
  updateContainerResources(
    request: UpdateContainerResourcesRequest,
    signal?: AbortSignal,
  ): Promise<void>;
  /** After a rename of the log file; only for a running container. */
  reopenContainerLog(containerId: string, signal?: AbortSignal): Promise<void>;

  /** Runs a command to its end; rejects (see isDeadline) when `timeout` seconds (0: none) pass. */
  execSync(request: ExecSyncRequest, signal?: AbortSignal): Promise<ExecSyncResponse>;
  /** The URL of the runtime's streaming server for this session; single use, valid 60 s. */
  exec(request: ExecRequest, signal?: AbortSignal): Promise<string>;
  attach(request: AttachRequest, signal?: AbortSignal): Promise<string>;
  portForward(request: PortForwardRequest, signal?: AbortSignal): Promise<string>;

  /** Undefined while the runtime has no sample yet; "not_found" for a missing container. */
  containerStats(containerId: string, signal?: AbortSignal): Promise<ContainerStats | undefined>;
  listContainerStats(filter: ContainerStatsFilter, signal?: AbortSignal): Promise<ContainerStats[]>;
  podSandboxStats(podSandboxId: string, signal?: AbortSignal): Promise<PodSandboxStats | undefined>;
  listPodSandboxStats(
    filter: PodSandboxStatsFilter,
    signal?: AbortSignal,
  ): Promise<PodSandboxStats[]>;

  listImages(filter: ImageFilter, signal?: AbortSignal): Promise<Image[]>;
  /** `image` is unset in the answer when the image is not there. */
  imageStatus(image: ImageSpec, signal?: AbortSignal): Promise<ImageStatusResponse>;
  /** Resolves with the reference to run the image by. No deadline: end it with `signal`. */
  pullImage(request: PullImageRequest, signal?: AbortSignal): Promise<string>;
  /** Removes all its tags. A missing image is done. */
  removeImage(image: ImageSpec, signal?: AbortSignal): Promise<void>;
  imageFsInfo(signal?: AbortSignal): Promise<ImageFsInfoResponse>;

  /**
   * Events as they happen, until `signal` aborts (then it rejects with its reason) or the runtime
   * ends the stream. Rejects with "unimplemented" on runtimes without events (containerd before
   * 1.7): list instead. Events can be missed across a reconnect, so list slowly in any case.
   */
  containerEvents(signal: AbortSignal): AsyncIterable<ContainerEventResponse>;

  /** Ends calls in flight ("canceled") and lets go of the runtime; what it runs goes on running. */
  close(): Promise<void>;
}

export type StatusRequest = MessageInitShape<typeof StatusRequestSchema>;
export type RunPodSandboxRequest = MessageInitShape<typeof RunPodSandboxRequestSchema>;
export type PodSandboxStatusRequest = MessageInitShape<typeof PodSandboxStatusRequestSchema>;
export type PodSandboxFilter = MessageInitShape<typeof PodSandboxFilterSchema>;
export type CreateContainerRequest = MessageInitShape<typeof CreateContainerRequestSchema>;
export type StopContainerRequest = MessageInitShape<typeof StopContainerRequestSchema>;
export type ContainerFilter = MessageInitShape<typeof ContainerFilterSchema>;
export type ContainerStatusRequest = MessageInitShape<typeof ContainerStatusRequestSchema>;
export type UpdateContainerResourcesRequest = MessageInitShape<
  typeof UpdateContainerResourcesRequestSchema
>;
export type ExecSyncRequest = MessageInitShape<typeof ExecSyncRequestSchema>;
export type ExecRequest = MessageInitShape<typeof ExecRequestSchema>;
export type AttachRequest = MessageInitShape<typeof AttachRequestSchema>;
export type PortForwardRequest = MessageInitShape<typeof PortForwardRequestSchema>;
export type ContainerStatsFilter = MessageInitShape<typeof ContainerStatsFilterSchema>;
export type PodSandboxStatsFilter = MessageInitShape<typeof PodSandboxStatsFilterSchema>;
export type ImageFilter = MessageInitShape<typeof ImageFilterSchema>;
export type ImageSpec = MessageInitShape<typeof ImageSpecSchema>;
export type PullImageRequest = MessageInitShape<typeof PullImageRequestSchema>;
