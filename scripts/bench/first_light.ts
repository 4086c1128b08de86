/**
 * `deno task bench first-light`: the first thread through the whole system, on a private
 * containerd, with both programs compiled (built when dist/ is missing or older than the sources).
 * Pods are timed by a watch on the API; memory is the kernel's own sum for the edge process.
 */
import { join } from "@std/path";
import { type Clock, SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { Pod, WatchEvent } from "../../shared/k8s/types.ts";
import { BUSYBOX_IMAGE } from "../../tests/support/images.ts";
import { cpuPercent } from "../../tests/support/pod_measures.ts";
import { type Site, startSite } from "../../tests/support/site.ts";
import { until } from "../../tests/support/until.ts";
import { builtPrograms } from "./built_programs.ts";
import { type Memory, memoryOf } from "./memory.ts";
import { type BenchOptions, type BenchResult, median, type Metric } from "./result.ts";
import { run as benchStore } from "./store.ts";

const PODS = 10;
const STARTS = 5;
const OBJECTS = 1_000;
/** At rest means: the edge has given back what its start needed (edge/trim.ts), V8 its garbage. */
const SETTLE_MS = 30_000;
const IDLE_SECONDS = 20;

const clock: Clock = new SystemClock();

export async function run(options: BenchOptions): Promise<BenchResult> {
  const programs = await builtPrograms();
  const { signal } = options;
  const metrics: Metric[] = [];
  const dir = join(options.workDir, "site");
  await Deno.mkdir(dir);
  {
    await using site = await startSite({ dir, programs });
    const fresh = await edgeStarts(site, signal);
    await clock.sleep(SETTLE_MS, signal);
    const idle = await memoryOf(site.edgeProcess.pid);
    const pods = await timePods(site, signal);
    await clock.sleep(SETTLE_MS, signal);
    const busy = await memoryOf(site.edgeProcess.pid);
    const cpu = await cpuPercent(site.edgeProcess.pid, IDLE_SECONDS, signal);
    const cloud = await memoryOf(site.cloudProcess.pid);
    await deletePods(site);
    await fillStore(site);
    const filled = await edgeStarts(site, signal);
    metrics.push(
      ...podMetrics(pods),
      ...memoryMetrics("edge, idle", idle),
      ...memoryMetrics(`edge, ${PODS} pods`, busy),
      {
        name: `edge CPU, idle with ${PODS} pods`,
        value: cpu,
        unit: "%",
        goal: 1,
        beside: PEER.cpu,
      },
      startMetric("edge start to /readyz, fresh", fresh),
      startMetric(`edge start to /readyz, ${OBJECTS} objects`, filled),
      { name: "cloud PSS", value: cloud.pssMb, unit: "MB", goal: 100, beside: PEER.cloud },
    );
  }
  metrics.push(...await storeMetrics(options));
  return {
    bench: "first-light",
    metrics,
    notes: { pods: PODS, starts: STARTS, restSeconds: SETTLE_MS / 1000, load: load() },
  };
}

/** KubeEdge on the same kind of machine; with 20 pods and 50 devices where it is memory. */
const PEER = {
  running: "KubeEdge 1.5 s",
  memory: "KubeEdge 95.7 MB",
  anonymous: "KubeEdge 32.7 MB",
  cpu: "KubeEdge 1.9 % (20 pods)",
  start: "KubeEdge 0.56 s (health port)",
  cloud: "KubeEdge 90 MB",
};

/** What else the machine was doing: above one per core the figures are not the programs' own. */
function load(): string {
  return Deno.loadavg().map((value) => value.toFixed(1)).join(" ");
}

interface PodTimes {
  fromCommandMs: number[];
  fromAcceptedMs: number[];
}

/** Applies one pod after the other; each is Running before the next is applied. */
async function timePods(site: Site, signal: AbortSignal): Promise<PodTimes> {
  const times: PodTimes = { fromCommandMs: [], fromAcceptedMs: [] };
  const controller = new AbortController();
  const watch = new PhaseWatch(site, AbortSignal.any([signal, controller.signal]));
  await watch.opened;
  for (let i = 0; i < PODS; i++) {
    const name = `bench-${i}`;
    const startMs = clock.monotonicMs();
    await site.kubectl.apply(podManifest(name));
    const seen = await watch.running(name);
    times.fromCommandMs.push(seen.runningMs - startMs);
    times.fromAcceptedMs.push(seen.runningMs - seen.addedMs);
  }
  controller.abort();
  await watch.done;
  return times;
}

/** When each pod was first seen, and first seen Running, by one watch on the API. */
class PhaseWatch {
  readonly opened: Promise<void>;
  readonly done: Promise<void>;
  readonly #added = new Map<string, number>();
  readonly #running = new Map<string, number>();

  constructor(site: Site, signal: AbortSignal) {
    const response = site.cloud.fetch("/api/v1/namespaces/default/pods?watch=1", { signal });
    this.opened = response.then(() => {});
    this.done = response.then((answer) => this.#read(answer)).catch((error) => {
      if (!signal.aborted) throw error;
    });
  }

  async running(name: string): Promise<{ addedMs: number; runningMs: number }> {
    return await until(() => {
      const [addedMs, runningMs] = [this.#added.get(name), this.#running.get(name)];
      return addedMs !== undefined && runningMs !== undefined && { addedMs, runningMs };
    }, { what: `${name} Running`, timeoutMs: 60_000, everyMs: 5 });
  }

  async #read(answer: Response): Promise<void> {
    let text = "";
    for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const nowMs = clock.monotonicMs();
      const lines = (text + chunk).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) this.#note(JSON.parse(line), nowMs);
    }
  }

  #note(event: WatchEvent<Pod>, nowMs: number): void {
    if (event.type !== "ADDED" && event.type !== "MODIFIED") return;
    const { metadata: { name = "" }, status } = event.object;
    if (!this.#added.has(name)) this.#added.set(name, nowMs);
    if (status?.phase === "Running" && !this.#running.has(name)) this.#running.set(name, nowMs);
  }
}

function podManifest(name: string, more: object = {}): object {
  const command = ["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait $!"];
  const main = { name: "main", image: BUSYBOX_IMAGE, command, ...more };
  const spec = { terminationGracePeriodSeconds: 1, containers: [main] };
  return { apiVersion: "v1", kind: "Pod", metadata: { name }, spec };
}

async function deletePods(site: Site): Promise<void> {
  await site.kubectl.must(["delete", "pods", "--all"]);
}

/** Makes the node hold OBJECTS objects, by way of a pod that names as many config maps. */
async function fillStore(site: Site): Promise<void> {
  const data = { filler: "x".repeat(400) };
  const names = Array.from({ length: OBJECTS }, (_, i) => `bench-${i}`);
  const queue = [...names];
  const create = async () => {
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
      const body = JSON.stringify({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name },
        data,
      });
      const headers = { "content-type": "application/json" };
      const path = "/api/v1/namespaces/default/configmaps";
      const answer = await site.cloud.fetch(path, { method: "POST", headers, body });
      const text = await answer.text();
      if (!answer.ok) throw new AppError("internal", `Cannot create ${name}: ${text}`);
    }
  };
  await Promise.all(Array.from({ length: 8 }, create));
  const envFrom = names.map((name) => ({ configMapRef: { name } }));
  await site.kubectl.apply(podManifest("holder", { envFrom }), "--server-side");
  await site.podRuns("holder");
  const status = await site.edge.get<{ ledger: { objects: number } }>("/v1/status");
  if (status.ledger.objects < OBJECTS) {
    throw new AppError("internal", `The edge holds ${status.ledger.objects} objects only`);
  }
}

/** Restarts the edge and times from the start of its process to the first 200 of /readyz. */
async function edgeStarts(site: Site, signal: AbortSignal): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < STARTS; i++) {
    signal.throwIfAborted();
    await site.killEdge();
    const startMs = clock.monotonicMs();
    await site.startEdge();
    await until(async () => {
      const answer = await site.edge.fetch("/readyz");
      await answer.body?.cancel();
      return answer.status === 200;
    }, { what: "/readyz", everyMs: 2 });
    times.push(clock.monotonicMs() - startMs);
  }
  await site.nodeIs("True");
  return times;
}

function podMetrics(times: PodTimes): Metric[] {
  return [
    {
      name: "kubectl apply to Running, from the command",
      value: median(times.fromCommandMs) / 1000,
      unit: "s",
      goal: 0.6,
      beside: PEER.running,
    },
    {
      name: "kubectl apply to Running, from acceptance",
      value: median(times.fromAcceptedMs) / 1000,
      unit: "s",
    },
  ];
}

function memoryMetrics(what: string, memory: Memory): Metric[] {
  return [
    { name: `${what}: PSS`, value: memory.pssMb, unit: "MB", goal: 70, beside: PEER.memory },
    { name: `${what}: RSS`, value: memory.rssMb, unit: "MB" },
    {
      name: `${what}: anonymous`,
      value: memory.anonymousMb,
      unit: "MB",
      goal: 33,
      beside: PEER.anonymous,
    },
  ];
}

function startMetric(name: string, timesMs: readonly number[]): Metric {
  return { name, value: median(timesMs) / 1000, unit: "s", goal: 0.5, beside: PEER.start };
}

async function storeMetrics(options: BenchOptions): Promise<readonly Metric[]> {
  const { metrics } = await benchStore({ ...options, args: [] });
  return metrics.filter(({ name }) => name.startsWith("commits, "))
    .map((metric) => ({ ...metric, name: `store ${metric.name}` }));
}
