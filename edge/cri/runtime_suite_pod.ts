/**
 * What a case of the runtime suite works with: the runtime it is given, a pod of its own, and
 * waits. Disposal of the pod leaves nothing in the runtime.
 */
import { join } from "@std/path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { AppError, errorChain } from "../../shared/errors.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Random } from "../../shared/random.ts";
import { ContainerState, NamespaceMode } from "../../shared/gen/runtime/v1/api_pb.ts";
import type { ContainerRuntime } from "./port.ts";

/** What a suite runs against; `connect` makes a further client of the same runtime. */
export interface RuntimeSuiteTarget extends AsyncDisposable {
  runtime: ContainerRuntime;
  connect(): ContainerRuntime;
  /** A reference of an image that is there and has a busybox `sh`. */
  image: string;
  /** A folder for pod logs, removed by the target. */
  logRoot: string;
  /** The cgroup that pods' cgroups are made in, "/name", removed by the target. */
  cgroupRoot: string;
  clock: Clock;
  random: Random;
}

/** A pod for one case, with its sandbox running; disposal removes it. */
export class SuitePod implements AsyncDisposable {
  readonly target: RuntimeSuiteTarget;
  readonly uid: string;
  sandboxId = "";

  constructor(target: RuntimeSuiteTarget) {
    this.target = target;
    this.uid = target.random.uuid();
  }

  static async run(target: RuntimeSuiteTarget): Promise<SuitePod> {
    const pod = new SuitePod(target);
    await Deno.mkdir(pod.logDirectory, { recursive: true });
    pod.sandboxId = await target.runtime.runPodSandbox({ config: pod.config() });
    return pod;
  }

  get logDirectory(): string {
    return join(this.target.logRoot, `suite_pod_${this.uid}`);
  }

  get labels(): Record<string, string> {
    return { "io.kubernetes.pod.uid": this.uid };
  }

  config(attempt = 0) {
    const namespaceOptions = {
      network: NamespaceMode.NODE,
      pid: NamespaceMode.CONTAINER,
      ipc: NamespaceMode.POD,
    };
    return {
      metadata: { name: "pod", namespace: "suite", uid: this.uid, attempt },
      logDirectory: this.logDirectory,
      labels: this.labels,
      annotations: { "suite/note": "kept" },
      linux: {
        // Without one, containerd refuses the statistics of every sandbox it has.
        cgroupParent: `${this.target.cgroupRoot}/pod${this.uid}`,
        securityContext: { namespaceOptions },
      },
    };
  }

  create(command: string[], name = "main", attempt = 0): Promise<string> {
    const namespaceOptions = this.config().linux.securityContext.namespaceOptions;
    return this.target.runtime.createContainer({
      podSandboxId: this.sandboxId,
      sandboxConfig: this.config(),
      config: {
        metadata: { name, attempt },
        // CRI-O refuses a container that does not say what its user had asked for.
        image: { image: this.target.image, userSpecifiedImage: this.target.image },
        command,
        labels: { ...this.labels, "io.kubernetes.container.name": name },
        logPath: `${name}.${attempt}.log`,
        linux: { securityContext: { namespaceOptions } },
      },
    });
  }

  async start(script: string, name = "main"): Promise<string> {
    const id = await this.create(["sh", "-c", script], name);
    await this.target.runtime.startContainer(id);
    return id;
  }

  async status(containerId: string) {
    const { status } = await this.target.runtime.containerStatus({ containerId });
    assert(status, "a status that is found is set");
    return status;
  }

  async exited(containerId: string) {
    await until(this.target.clock, "container exits", async () => {
      return (await this.status(containerId)).state === ContainerState.CONTAINER_EXITED;
    });
    return await this.status(containerId);
  }

  /** Waits until the log file of a container is as `expected`: entries without their time. */
  async logIs(file: string, expected: string[]): Promise<void> {
    let seen: string[] = [];
    const read = async () => {
      const text = await Deno.readTextFile(join(this.logDirectory, file)).catch(() => "");
      seen = text.split("\n").filter((line) => line).map((line) => line.replace(/^\S+ /, ""))
        .sort();
      return JSON.stringify(seen) === JSON.stringify(expected.toSorted());
    };
    await until(this.target.clock, `log ${file} is complete`, read).catch(() => {
      assertEquals(seen, expected.toSorted());
    });
  }

  /** Containers first, without grace: CRI-O gives a sandbox's as long as the call may last. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { runtime } = this.target;
    for (const { id } of await runtime.listContainers({ podSandboxId: this.sandboxId })) {
      await runtime.stopContainer({ containerId: id, timeout: 0n });
    }
    await runtime.stopPodSandbox(this.sandboxId);
    await runtime.removePodSandbox(this.sandboxId);
  }
}

/** Says that it is ready, and ends with code 7 when it is asked to. */
export const ENDS_ON_TERM = "trap 'exit 7' TERM; echo ready; sleep 60 & wait";

const WAIT_MS_MAX = 10_000;
const POLL_MS = 20;

export async function until(
  clock: Clock,
  what: string,
  isTrue: () => Promise<boolean>,
): Promise<void> {
  const deadlineMs = clock.monotonicMs() + WAIT_MS_MAX;
  while (!(await isTrue())) {
    assert(clock.monotonicMs() < deadlineMs, `not within ${WAIT_MS_MAX} ms: ${what}`);
    await clock.sleep(POLL_MS);
  }
}

export async function rejectsWith(
  code: AppError["code"],
  work: () => Promise<unknown>,
): Promise<void> {
  const error = await assertRejects(work, AppError);
  assertEquals(error.code, code, errorChain(error));
}
