/** The pod agent over a real, private containerd, with memory for ledger and records. */
import { GrpcRuntime } from "../../edge/cri/grpc_runtime.ts";
import { POD_AGENT_DEFAULTS, PodAgent, type PodAgentOptions } from "../../edge/pods/agent.ts";
import { readHost } from "../../edge/pods/host.ts";
import { MemoryEvents, MemoryLedger, MemoryRecords } from "../../edge/pods/testing.ts";
import { SystemMounter } from "../../edge/pods/volumes/mounter.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SystemClock } from "../../shared/clock.ts";
import type { Pod, PodStatus } from "../../shared/k8s/types.ts";
import { SystemRandom } from "../../shared/random.ts";
import { type Containerd, startContainerd } from "./containerd.ts";
import { BUSYBOX_IMAGE } from "./images.ts";
import type { Part } from "./requirements.ts";
import { until } from "./until.ts";

/** What a test with a PodNode needs of the machine. */
export const POD_NODE_PARTS: Part[] = ["root", "containerd", "cni", "busybox", "ip"];

export class PodNode implements AsyncDisposable {
  readonly clock = new SystemClock();
  readonly random = new SystemRandom();
  readonly ledger = new MemoryLedger();
  readonly records = new MemoryRecords();
  readonly events = new MemoryEvents();
  readonly containerd: Containerd;
  readonly dir: string;
  agent!: PodAgent;
  #runtime: GrpcRuntime | undefined;
  #scope: TaskScope | undefined;

  readonly #change: Partial<PodAgentOptions>;

  private constructor(containerd: Containerd, dir: string, change: Partial<PodAgentOptions>) {
    this.containerd = containerd;
    this.dir = dir;
    this.#change = change;
  }

  static async start(change: Partial<PodAgentOptions> = {}): Promise<PodNode> {
    const containerd = await startContainerd({ cni: true });
    const dir = await Deno.makeTempDir({ prefix: "skerry-pods-it-" });
    const node = new PodNode(containerd, dir, change);
    await node.startAgent();
    return node;
  }

  async startAgent(): Promise<void> {
    const runtime = new GrpcRuntime(this.containerd.endpoint);
    this.#runtime = runtime;
    this.agent = new PodAgent({
      ...POD_AGENT_DEFAULTS,
      runtime,
      ledger: this.ledger.asLedger(),
      records: this.records,
      events: this.events,
      clock: this.clock,
      node: { name: "edge-it", addresses: () => ["192.0.2.7"], allocatable: () => ({}) },
      dirs: {
        pods: `${this.dir}/pods`,
        podLogs: `${this.dir}/logs`,
        seccomp: `${this.dir}/seccomp`,
        cgroup: "/sys/fs/cgroup",
      },
      host: await readHost(),
      dns: { clusterDns: [], clusterDomain: "cluster.local" },
      mounter: new SystemMounter(),
      ...this.#change,
    });
    this.#scope = new TaskScope();
    this.#scope.spawn("agent", (signal) => this.agent.run(signal));
  }

  async stopAgent(): Promise<void> {
    await this.#scope?.[Symbol.asyncDispose]();
    await this.#runtime?.close();
  }

  pod(name: string, script: string, change: (pod: Pod) => void = () => {}): Pod {
    const pod: Pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default", uid: this.random.uuid() },
      spec: {
        containers: [{ name: "main", image: BUSYBOX_IMAGE, command: ["sh", "-c", script] }],
        terminationGracePeriodSeconds: 5,
      },
    };
    change(pod);
    return pod;
  }

  /** Runs a command in a container to its end; gives what it printed. */
  async exec(containerId: string, cmd: string[]): Promise<string> {
    const answer = await this.#runtime?.execSync({ containerId, cmd, timeout: 10n });
    return new TextDecoder().decode(answer?.stdout);
  }

  status(pod: Pod): PodStatus | undefined {
    return this.records.get(pod.metadata.uid!)?.status;
  }

  phase(pod: Pod, phase: string, timeoutMs = 20_000): Promise<PodStatus> {
    return until(() => this.status(pod)?.phase === phase ? this.status(pod) : undefined, {
      what: `${pod.metadata.name} ${phase}; events ${JSON.stringify(this.events.all.slice(-5))}`,
      timeoutMs,
      everyMs: 2,
    });
  }

  async deleteAll(): Promise<void> {
    for (const pod of this.ledger.list<Pod>("pods")) {
      const metadata = {
        ...pod.metadata,
        deletionTimestamp: "2026-01-01T00:00:00Z",
        deletionGracePeriodSeconds: 2,
      };
      this.ledger.put("pods", { ...pod, metadata });
    }
    const count = this.ledger.list("pods").length;
    await until(() => this.records.gone.length === count, { what: "gone", timeoutMs: 20_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopAgent();
    await this.containerd.stop();
    await Deno.remove(this.dir, { recursive: true });
  }
}
