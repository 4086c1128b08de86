/** One container from image to running: pull, resolve, create, start; and why it did not work. */
import { AppError, errorChain } from "../../shared/errors.ts";
import type { Container, EphemeralContainer } from "../../shared/k8s/types.ts";
import type { ContainerRuntime } from "../cri/port.ts";
import { resolveEnv } from "./env.ts";
import type { PodWork, WorkSignals } from "./executor.ts";
import type { ContainerStopper } from "./container_stopper.ts";
import type { Gate } from "./gate.ts";
import { HookError, type Hooks } from "./hooks.ts";
import type { LogLinks } from "./housekeeping/log_links.ts";
import { ImageError, type Images, type PresentImage } from "./images.ts";
import { containerHash } from "./marks.ts";
import type { NodeView } from "./node_view.ts";
import { type ObservedPod, type ObservedSandbox, runsOf } from "./observed.ts";
import type { StartContainer, Waiting } from "./plan.ts";
import { type ContainerRole, findContainer } from "./pod_containers.ts";
import type { PodEvents } from "./pod_events.ts";
import { etcHosts, writeContainerFiles } from "./pod_files.ts";
import {
  type ContainerConfigInit,
  podLogDir,
  toContainerConfig,
  toSandboxConfig,
} from "./to_cri.ts";
import type { PodVolumes, PreparedVolumes } from "./volumes/pod_volumes.ts";

const GRACE_SECONDS_DEFAULT = 30;

/** A step of starting a container that failed; `reason` is kubelet's word for the step. */
class StepError extends Error {
  override readonly name = "StepError";
  readonly reason: string;

  constructor(reason: string, options: ErrorOptions) {
    super("", options);
    this.reason = reason;
  }
}

export interface StarterOptions {
  runtime: ContainerRuntime;
  events: PodEvents;
  node: NodeView;
  images: Images;
  volumes: PodVolumes;
  gate: Gate;
  hooks: Hooks;
  links: LogLinks;
  stopper: ContainerStopper;
  /** Content of the host's /etc/hosts, for pods on the host's network. */
  hostsFile: string;
}

export interface StartContext {
  volumes: PreparedVolumes;
  signals: WorkSignals;
}

export class ContainerStarter {
  readonly #options: StarterOptions;

  constructor(options: StarterOptions) {
    this.#options = options;
  }

  async start(work: PodWork, action: StartContainer, context: StartContext): Promise<void> {
    const { runtime, events, images, node, gate, links } = this.#options;
    const pod = work.pod!; // starts are planned only for desired pods
    // The plan was made from this very spec.
    const { container } = findContainer(pod, action.name)!;
    // The plan was made from this very observation.
    const sandbox = work.observed.sandboxes.find((s) => s.id === action.sandboxId)!;
    const { shutdown, patient } = context.signals;
    const sandboxConfig = toSandboxConfig(pod, sandbox.attempt, node.criContext());
    const hash = containerHash(container);
    const image = await images.ensure({
      ref: work.ref,
      container,
      role: action.role,
      sandboxConfig,
      ...node.pullSecrets(pod),
      ranBefore: runsOf(work.observed, container.name).some((r) => r.hash === hash),
    }, patient);
    const config = await step(
      "CreateContainerConfigError",
      () => this.#config(work, { container, action, sandbox, image, volumes: context.volumes }),
    );
    const { name } = container;
    const containerId = await gate.run(
      async () => {
        const request = { podSandboxId: sandbox.id, config, sandboxConfig };
        const create = () => runtime.createContainer(request, shutdown);
        const containerId = await step("CreateContainerError", create);
        const about = { name, role: action.role };
        // Written while the runtime starts it: the event's commit costs no time of the start.
        const told = this.#normal(work, "Created", `Created container: ${name}`, about);
        try {
          await step("RunContainerError", () => runtime.startContainer(containerId, shutdown));
        } finally {
          await told;
        }
        return containerId;
      },
      shutdown,
      "first",
    );
    await events.emit(work.ref, {
      type: "Normal",
      reason: "Started",
      message: `Started container ${name}`,
      container: { name, role: action.role },
    });
    const dir = podLogDir(work.ref, node.criContext().podLogsDir);
    await links.put({
      podName: work.ref.name,
      namespace: work.ref.namespace,
      container: name,
      containerId,
      path: `${dir}/${name}/${action.attempt}.log`,
    });
    await this.#postStart(work, { container, action, containerId }, context.signals);
  }

  /** The container counts as started only when its hook is done; one that fails ends it. */
  async #postStart(
    work: PodWork,
    given: { container: Container; action: StartContainer; containerId: string },
    { patient }: WorkSignals,
  ): Promise<void> {
    const { hooks, stopper, node, events } = this.#options;
    const { container, action, containerId } = given;
    const handler = container.lifecycle?.postStart;
    if (!handler) return;
    const podIp = node.podIp(work.pod, work.observed);
    const { ref } = work;
    try {
      await hooks.run(handler, { ref, container, containerId, podIp }, patient);
    } catch (error) {
      if (!(error instanceof HookError)) throw error;
      await events.emit(ref, {
        type: "Warning",
        reason: "FailedPostStartHook",
        message: "PostStartHook failed",
        container: { name: action.name, role: action.role },
      });
      await stopper.stop({
        ref,
        containerId,
        container,
        role: action.role,
        preStop: container.lifecycle?.preStop,
        podIp,
        graceSeconds: work.pod?.spec.terminationGracePeriodSeconds ?? GRACE_SECONDS_DEFAULT,
        message: "FailedPostStartHook",
      }, patient);
      throw new StepError("PostStartHookError", { cause: error });
    }
  }

  async #config(
    work: PodWork,
    given: {
      container: Container;
      action: StartContainer;
      sandbox: ObservedSandbox;
      image: PresentImage;
      volumes: PreparedVolumes;
    },
  ): Promise<ContainerConfigInit> {
    const { node, volumes, hostsFile } = this.#options;
    const { container, action, sandbox, image } = given;
    const pod = work.pod!; // see start
    const facts = node.facts(pod, sandbox.ips);
    const env = resolveEnv(pod, container, node.source(pod), facts);
    const context = node.criContext();
    const mounts = await volumes.mounts(work.ref.uid, container, given.volumes, env);
    const targetId = targetOf(container, work.observed);
    const start = {
      attempt: action.attempt,
      imageRef: image.ref,
      imageUser: image.user,
      env,
      ...(targetId ? { targetId } : {}),
    };
    // Once without the files: what is refused shall leave nothing behind.
    toContainerConfig(pod, container, { ...start, mounts }, context);
    const logDir = podLogDir(work.ref, context.podLogsDir);
    await Deno.mkdir(`${logDir}/${container.name}`, { recursive: true, mode: 0o755 });
    const hosts = etcHosts(pod, {
      podIps: sandbox.ips,
      clusterDomain: node.clusterDomain,
      hostFile: hostsFile,
    });
    const podDir = volumes.podDir(work.ref.uid);
    const files = await writeContainerFiles(podDir, container, { hosts, attempt: action.attempt });
    return toContainerConfig(pod, container, { ...start, mounts: [...mounts, ...files] }, context);
  }

  /** Events and waiting reason for a start that failed. */
  async explain(work: PodWork, action: StartContainer, error: unknown): Promise<Waiting> {
    const about = { name: action.name, role: action.role };
    const emit = (message: string) =>
      this.#options.events.emit(work.ref, {
        type: "Warning",
        reason: "Failed",
        message,
        container: about,
      });
    if (error instanceof ImageError) {
      await emit(`Error: ${error.reason}`);
      return { reason: error.reason, message: error.message };
    }
    const message = errorChain(error instanceof StepError ? error.cause : error);
    const isHook = error instanceof StepError && error.reason === "PostStartHookError";
    if (!isHook) await emit(`Error: ${message}`);
    return { reason: error instanceof StepError ? error.reason : "CreateContainerError", message };
  }

  #normal(
    work: PodWork,
    reason: string,
    message: string,
    container: { name: string; role: ContainerRole },
  ): Promise<void> {
    return this.#options.events.emit(work.ref, { type: "Normal", reason, message, container });
  }
}

/** The id of the container whose processes an ephemeral one shall see. */
function targetOf(container: EphemeralContainer, observed: ObservedPod): string | undefined {
  const { targetContainerName: target } = container;
  if (!target) return undefined;
  const run = runsOf(observed, target)[0];
  if (run) return run.id;
  throw new AppError("not_found", `unable to find target container ${target}`);
}

async function step<T>(reason: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new StepError(reason, { cause: error });
  }
}
