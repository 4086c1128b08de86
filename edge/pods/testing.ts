/** A whole pod agent over the fake runtime, a virtual clock and memory: for behavioural tests. */
import { Changes } from "../../shared/async/wakeup.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import type { Clock } from "../../shared/clock.ts";
import type { PrePullResult } from "../../shared/k8s/prepull.ts";
import type { Event, KubeObject, Pod, PodStatus } from "../../shared/k8s/types.ts";
import { SeededRandom } from "../../shared/random.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import type { PodRef } from "../../shared/wire/report.ts";
import { FakeRuntime } from "../cri/fake_runtime.ts";
import { FakeWorld, type FakeWorldOptions } from "../cri/fake_world.ts";
import type { EventInput, EventLog, Ledger, PodRecord, PodRecords } from "../meta/port.ts";
import { POD_AGENT_DEFAULTS, PodAgent } from "./agent.ts";
import type { EvictionSettings } from "./eviction/evictor.ts";
import type { CheckAnswer, NetworkChecks } from "./probes/network_checks.ts";
import { NoSiteActs, type SiteActs } from "./port.ts";
import { NoMounter } from "./volumes/mounter.ts";

export const IMAGE = "docker.io/skerry/busybox:1";

/** The ledger as the agent reads it; `put` and `drop` are what the cloud would send. */
export class MemoryLedger implements Pick<Ledger, "changes" | "get" | "list" | "head"> {
  readonly changes = new Changes();
  readonly objects = new Map<string, KubeObject>();
  head = { cloudId: "cloud-1", generation: 1, digest: "" };
  #version = 0;

  get<T extends KubeObject>(key: string): T | undefined {
    return this.objects.get(key) as T | undefined; // the test that put it knows its kind
  }

  list<T extends KubeObject>(resource: string): T[] {
    return [...this.objects].filter(([key]) => key.startsWith(`${resource}/`))
      .map(([, object]) => object as T); // as above
  }

  put(resource: string, object: KubeObject): void {
    const { namespace = "default", name = "" } = object.metadata;
    const metadata = { ...object.metadata, namespace, resourceVersion: String(++this.#version) };
    this.objects.set(`${resource}/${namespace}/${name}`, { ...object, metadata });
    this.changes.notify();
  }

  drop(key: string): void {
    this.objects.delete(key);
    this.changes.notify();
  }

  asLedger(): Ledger {
    return this as unknown as Ledger; // the agent neither accepts batches nor asks for inventories
  }
}

export class MemoryRecords implements PodRecords {
  readonly changes = new Changes();
  readonly records = new Map<string, PodRecord>();
  readonly history: { uid: string; status: PodStatus }[] = [];
  readonly gone: PodRef[] = [];

  get(uid: string): PodRecord | undefined {
    return this.records.get(uid);
  }

  list(): PodRecord[] {
    return [...this.records.values()];
  }

  /** What shows static pods in the cloud, as last told. */
  readonly mirrors = new Map<string, Pod>();

  recordStatus(pod: PodRef, status: PodStatus, mirror?: Pod): Promise<void> {
    this.records.set(pod.uid, { pod, status });
    if (mirror) this.mirrors.set(pod.uid, mirror);
    this.history.push({ uid: pod.uid, status });
    return Promise.resolve();
  }

  recordGone(pod: PodRef): Promise<void> {
    this.records.delete(pod.uid);
    this.gone.push(pod);
    return Promise.resolve();
  }
}

export class MemoryEvents implements EventLog {
  readonly changes = new Changes();
  readonly all: EventInput[] = [];

  /** Virtual moments, one for each event, when a clock is given. */
  readonly atMs: number[] = [];
  readonly #clock: Clock | undefined;

  constructor(clock?: Clock) {
    this.#clock = clock;
  }

  /** When events of a reason came. */
  times(reason: string): number[] {
    return this.atMs.filter((_, i) => this.all[i]?.reason === reason);
  }

  record(event: EventInput): Promise<void> {
    this.all.push(event);
    this.atMs.push(this.#clock?.monotonicMs() ?? 0);
    return Promise.resolve();
  }

  list(): Event[] {
    return [];
  }

  messages(reason: string): string[] {
    return this.all.filter((e) => e.reason === reason).map((e) => e.message);
  }
}

/** A network whose servers answer as a test says; by default all is well. */
export class FakeNetwork implements NetworkChecks {
  readonly asked: string[] = [];
  /** By "http http://10.0.0.1:80/", "tcp 10.0.0.1:80", "grpc 10.0.0.1:80/service". */
  answer: (what: string) => CheckAnswer | Promise<CheckAnswer> = () => ({ ok: true, message: "" });

  http(check: { shown: string }, signal: AbortSignal): Promise<CheckAnswer> {
    return this.#ask(`http ${check.shown}`, signal);
  }

  tcp(host: string, port: number, signal: AbortSignal): Promise<CheckAnswer> {
    return this.#ask(`tcp ${host}:${port}`, signal);
  }

  grpc(
    target: { host: string; port: number; service: string },
    signal: AbortSignal,
  ): Promise<CheckAnswer> {
    return this.#ask(`grpc ${target.host}:${target.port}/${target.service}`, signal);
  }

  async #ask(what: string, signal: AbortSignal): Promise<CheckAnswer> {
    this.asked.push(what);
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([this.answer(what), aborted.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }
}

export class TestNode implements AsyncDisposable {
  readonly network = new FakeNetwork();
  readonly clock = new SimClock();
  readonly world: FakeWorld;
  readonly ledger = new MemoryLedger();
  readonly records = new MemoryRecords();
  readonly events = new MemoryEvents(this.clock);
  readonly dir: string;
  diskUse = { capacityBytes: 1e9, availableBytes: 9e8 };
  allocatable: Record<string, string> = { pods: "110" };
  siteActs: SiteActs = new NoSiteActs();
  /** Folder of static pods; none by default. */
  staticDir: string | undefined;
  eviction: EvictionSettings | undefined;
  endsFinally = false;
  /** Results of pre-pull jobs, by uid. */
  readonly prePulls = new Map<string, PrePullResult>();
  agent!: PodAgent;
  #scope: TaskScope | undefined;

  private constructor(dir: string, options: Partial<FakeWorldOptions>, seed: number) {
    this.dir = dir;
    this.world = new FakeWorld({
      clock: this.clock,
      random: new SeededRandom(seed),
      writeLogs: true,
      ...options,
    });
    this.world.images.add({ name: IMAGE });
  }

  static async start(options: Partial<FakeWorldOptions> = {}, seed = 1): Promise<TestNode> {
    const dir = await Deno.makeTempDir({ prefix: "skerry-pods-" });
    const node = new TestNode(dir, options, seed);
    node.startAgent();
    return node;
  }

  startAgent(): void {
    const runtime = new FakeRuntime(this.world);
    this.agent = new PodAgent({
      ...POD_AGENT_DEFAULTS,
      runtime,
      ledger: this.ledger.asLedger(),
      records: this.records,
      events: this.events,
      siteActs: this.siteActs,
      prePullReports: {
        put: ({ uid }, result) => Promise.resolve(this.prePulls.set(uid, result)),
        holds: () => false,
      },
      ...(this.staticDir === undefined ? {} : {
        staticPods: { dir: this.staticDir, cacheFile: `${this.dir}/static-pods.json` },
      }),
      clock: this.clock,
      node: {
        name: "edge-1",
        addresses: () => ["192.0.2.7"],
        allocatable: () => this.allocatable,
      },
      dirs: {
        pods: `${this.dir}/pods`,
        podLogs: `${this.dir}/logs`,
        seccomp: `${this.dir}/seccomp`,
        cgroup: `${this.dir}/cgroup`,
      },
      host: {
        memoryBytes: 4 * 1024 ** 3,
        cgroupV2: true,
        swapLimits: false,
        maskedPaths: [],
        dns: { servers: ["192.0.2.1"], searches: [], options: [] },
        hostsFile: "127.0.0.1 localhost\n",
        diskUse: () => Promise.resolve(this.diskUse),
      },
      dns: { clusterDns: [], clusterDomain: "cluster.local" },
      logs: { bytesMax: 1_000, filesMax: 3, linksDir: `${this.dir}/links` },
      mounter: new NoMounter(),
      ...(this.eviction ? { eviction: this.eviction } : {}),
      endsFinally: this.endsFinally,
      network: this.network,
    });
    const scope = new TaskScope();
    scope.spawn("agent", (signal) => this.agent.run(signal));
    this.#scope = scope;
  }

  async stopAgent(): Promise<void> {
    await this.#scope?.[Symbol.asyncDispose]();
    this.#scope = undefined;
  }

  apply(pod: Pod): Pod {
    this.ledger.put("pods", pod);
    return pod;
  }

  status(uid: string): PodStatus | undefined {
    return this.records.get(uid)?.status;
  }

  /** Waits until the first container's state satisfies `is`. */
  phase(uid: string, phase: string, withinMs = 60_000): Promise<PodStatus> {
    return this.clock.until(
      () => this.status(uid)?.phase === phase ? this.status(uid) : undefined,
      { withinMs, what: `${uid} ${phase}, is ${JSON.stringify(this.status(uid))}` },
    );
  }

  waiting(uid: string, reason: string, withinMs = 60_000): Promise<PodStatus> {
    return this.clock.until(
      () => {
        const status = this.status(uid);
        const all = [
          ...status?.containerStatuses ?? [],
          ...status?.initContainerStatuses ?? [],
        ];
        return all.some((c) => c.state?.waiting?.reason === reason) ? status : undefined;
      },
      { withinMs, what: `${uid} waiting ${reason}, is ${JSON.stringify(this.status(uid))}` },
    );
  }

  gone(uid: string, withinMs = 60_000): Promise<boolean> {
    return this.clock.until(() => this.records.gone.some((pod) => pod.uid === uid), {
      withinMs,
      what: `${uid} gone`,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopAgent();
    await this.world[Symbol.asyncDispose]();
    await Deno.remove(this.dir, { recursive: true });
  }
}

/** A pod of one container that runs `script`; `change` edits it. */
export function testPod(name: string, script: string, change: (pod: Pod) => void = () => {}): Pod {
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", uid: `uid-${name}`, creationTimestamp: null },
    spec: {
      containers: [{ name: "main", image: IMAGE, command: ["sh", "-c", script] }],
      restartPolicy: "Always",
      terminationGracePeriodSeconds: 30,
    },
  };
  change(pod);
  return pod;
}
