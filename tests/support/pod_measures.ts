/**
 * What the pod agent costs and how fast it is, measured from outside on a whole site: restarts
 * without a cloud, container ends, processor time and memory of its process.
 */
import { join } from "@std/path";
import { SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { KubeList, Pod } from "../../shared/k8s/types.ts";
import { SystemRandom } from "../../shared/random.ts";
import { BUSYBOX_IMAGE } from "./images.ts";
import { startChild } from "./process.ts";
import type { Site } from "./site.ts";
import { until } from "./until.ts";

/** USER_HZ, the unit of process times in /proc, on every Linux there is. */
const TICKS_PER_SECOND = 100;
const WAIT_MS = 300_000;
/** Between two looks at all pods: each costs the edge some milliseconds of what is measured. */
const LOOK_MS = 100;
/** Pods that are sent at once. */
const SENDERS = 8;

const clock = new SystemClock();
const random = new SystemRandom();

/** A pod of `containers` containers that run until they are told to end. */
export function idlePod(name: string, containers = 1): Pod {
  const command = ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait $!"];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: Array.from({ length: containers }, (_, i) => ({
        name: `c${i}`,
        image: BUSYBOX_IMAGE,
        command,
        resources: { requests: { cpu: "1m", memory: "1Mi" } },
      })),
    },
  };
}

export async function createPods(site: Site, pods: readonly Pod[]): Promise<void> {
  const queue = [...pods];
  const send = async () => {
    for (let pod = queue.shift(); pod; pod = queue.shift()) {
      const answer = await site.cloud.fetch("/api/v1/namespaces/default/pods", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(pod),
      });
      const text = await answer.text();
      if (!answer.ok) throw new AppError("internal", `Cannot make ${pod.metadata.name}: ${text}`);
    }
  };
  await Promise.all(Array.from({ length: SENDERS }, send));
}

/** Adds pods up to `count` and waits until the cloud sees all of them run. */
export async function growTo(site: Site, count: number): Promise<void> {
  const there = (await cloudPods(site)).length;
  const names = Array.from({ length: count - there }, (_, i) => `pod-${there + i}`);
  await createPods(site, names.map((name) => idlePod(name)));
  await allRunInCloud(site, count);
}

export async function allRunInCloud(site: Site, count: number): Promise<void> {
  await until(async () => (await cloudPods(site)).filter(runs).length === count, {
    what: `${count} pods Running`,
    timeoutMs: WAIT_MS,
    everyMs: 50,
  });
}

async function cloudPods(site: Site): Promise<Pod[]> {
  return (await site.cloud.get<KubeList<Pod>>("/api/v1/namespaces/default/pods")).items;
}

async function edgePods(site: Site): Promise<Pod[]> {
  return (await site.edge.get<KubeList<Pod>>("/api/v1/pods")).items;
}

const runs = (pod: Pod) => pod.status?.phase === "Running" && idsOf(pod).length > 0;

function idsOf(pod: Pod): string[] {
  const statuses = pod.status?.containerStatuses ?? [];
  return statuses.map((each) => each.state?.running ? each.containerID ?? "" : "")
    .filter((id) => id !== "");
}

/** The agent killed and started while its link is cut, until it holds every pod again. */
export async function adoptOffline(site: Site): Promise<number> {
  const before = (await edgePods(site)).flatMap(idsOf).sort().join();
  await site.killEdge();
  const startMs = clock.monotonicMs();
  await site.startEdge();
  await until(async () => (await site.edge.fetch("/readyz")).status === 200, {
    what: "/readyz",
    everyMs: 5,
  });
  const after = (await edgePods(site)).flatMap(idsOf).sort().join();
  const tookMs = clock.monotonicMs() - startMs;
  if (after !== before) throw new AppError("internal", "Pods were not adopted as they ran");
  return tookMs;
}

/** What a reboot does, with the link cut: from the agent's start to the last pod Running. */
export async function startOffline(site: Site): Promise<number> {
  const before = new Set((await edgePods(site)).flatMap(idsOf));
  const count = before.size;
  await site.killEdge();
  await site.containerd.reboot();
  const startMs = clock.monotonicMs();
  await site.startEdge();
  await until(async () => {
    const ids = (await edgePods(site)).filter(runs).flatMap(idsOf);
    return ids.filter((id) => !before.has(id)).length === count;
  }, { what: `${count} pods Running anew`, timeoutMs: WAIT_MS, everyMs: LOOK_MS });
  return clock.monotonicMs() - startMs;
}

export async function cpuTicks(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

/** Share of one core, in percent, that a process takes over `seconds`. */
export async function cpuPercent(
  pid: number,
  seconds: number,
  signal: AbortSignal,
): Promise<number> {
  const before = await cpuTicks(pid);
  await clock.sleep(seconds * 1_000, signal);
  return (await cpuTicks(pid) - before) / TICKS_PER_SECOND / seconds * 100;
}

/** Ends `containers` one by one, at any moment; ms from each end to the making of the next. */
export async function restartDecisions(site: Site, containers: string[]): Promise<number[]> {
  const { containerd } = site;
  const events = await startChild({
    name: "ctr-events",
    command: "ctr",
    args: ["--address", containerd.socket, "-n", "k8s.io", "events"],
    logDir: join(site.dir, "logs"),
  });
  try {
    const tookMs: number[] = [];
    const tasks = await containerd.tasks();
    for (const id of containers) {
      await clock.sleep(random.float() * 1_000);
      Deno.kill(tasks.get(id)!, "SIGKILL"); // every one of them was listed as running
      tookMs.push(
        await until(
          async () => decisionMs(await Deno.readTextFile(events.logFile), id),
          { what: `the next of ${id}`, timeoutMs: 30_000 },
        ),
      );
    }
    return tookMs;
  } finally {
    await events.stop();
  }
}

/** From lines as `ctr events` prints them: "2026-01-01 10:00:00.5 +0000 UTC NAMESPACE TOPIC {}". */
export function decisionMs(log: string, id: string): number | undefined {
  let endedAtMs: number | undefined;
  for (const line of log.split("\n")) {
    const [day, time, , , , topic] = line.split(" ");
    const atMs = Date.parse(`${day}T${time?.replace(/(\.\d{6})\d*$/, "$1")}Z`);
    if (topic === "/tasks/exit" && line.includes(`"id":"${id}"`)) endedAtMs = atMs;
    if (topic === "/containers/create" && endedAtMs !== undefined) return atMs - endedAtMs;
  }
  return undefined;
}

/** The containers of pods whose name starts with `prefix`, by the edge's word. */
export async function containersOf(site: Site, prefix: string): Promise<string[]> {
  const pods = (await edgePods(site)).filter((pod) => pod.metadata.name?.startsWith(prefix));
  return pods.flatMap(idsOf).map((id) => id.replace(/^.*:\/\//, ""));
}
