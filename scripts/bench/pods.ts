/**
 * The pod agent on a private containerd, with both programs compiled: restarts of the edge without
 * a cloud (adopted; cold, as after a reboot), what it costs at rest, how soon an ended container is
 * started again, and a storm of pods. Arguments: the parts to run (offline idle memory decisions
 * storm; all when none is named). Needs what a whole site needs, and root.
 */
import { join } from "@std/path";
import { type Clock, SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { startBare } from "../../tests/support/bare_pods.ts";
import {
  adoptOffline,
  allRunInCloud,
  containersOf,
  cpuPercent,
  createPods,
  growTo,
  idlePod,
  restartDecisions,
  startOffline,
} from "../../tests/support/pod_measures.ts";
import { type Site, startSite } from "../../tests/support/site.ts";
import { builtPrograms } from "./built_programs.ts";
import { type Memory, memoryOf } from "./memory.ts";
import { type BenchOptions, type BenchResult, median, type Metric, quantile } from "./result.ts";

const FEW = 10;
const MORE = 20;
const MANY = 30;
const STORM = 110;
const ADOPTIONS = 5;
const REBOOTS = 3;
/** Readings of memory; each after a start of its own, for a heap depends on its past. */
const READINGS = 3;
/** At rest means: the edge has given back what its start needed (edge/trim.ts). */
const SETTLE_MS = 35_000;
const IDLE_SECONDS = 60;
const ENDS = { pods: 10, containers: 10 };
const SAMPLE_MS = 250;

const PARTS = ["offline", "idle", "memory", "decisions", "storm"] as const;
type PartName = typeof PARTS[number];

const clock: Clock = new SystemClock();

export async function run(options: BenchOptions): Promise<BenchResult> {
  const { args, signal } = options;
  const unknown = args.find((arg) => !PARTS.some((part) => part === arg));
  if (unknown) {
    throw new AppError("invalid", `Cannot run ${unknown}: parts are ${PARTS.join(", ")}`);
  }
  const wants = (part: PartName) => args.length === 0 || args.includes(part);
  const programs = await builtPrograms();
  const dir = join(options.workDir, "site");
  await Deno.mkdir(dir);
  const metrics: Metric[] = [];
  {
    await using site = await startSite({ dir, programs });
    const memory = new Map<number, Memory>();
    for (const count of [FEW, MORE, MANY]) {
      await growTo(site, count);
      if (wants("memory") && count !== MORE) memory.set(count, await memoryAtRest(site, signal));
      if (wants("idle") && count !== FEW) metrics.push(await idleMetric(site, count, signal));
      if (wants("offline") && count !== MORE) metrics.push(...await offlineMetrics(site, count));
    }
    const [few, many] = [memory.get(FEW), memory.get(MANY)];
    if (few && many) metrics.push(...memoryMetrics(few, many));
    if (wants("decisions")) metrics.push(...await decisionMetrics(site));
    if (wants("storm")) metrics.push(...await stormMetrics(site, signal));
  }
  const load = Deno.loadavg().map((value) => value.toFixed(1)).join(" ");
  return { bench: "pods", metrics, notes: { adoptions: ADOPTIONS, reboots: REBOOTS, load } };
}

/** Without a cloud: its link is cut before, and healed afterwards. */
async function offlineMetrics(site: Site, pods: number): Promise<Metric[]> {
  await site.relay.cut();
  const adopted: number[] = [];
  for (let i = 0; i < ADOPTIONS; i++) adopted.push(await adoptOffline(site));
  const cold: number[] = [];
  const bare: number[] = [];
  for (let i = 0; i < REBOOTS; i++) {
    cold.push(await startOffline(site));
    bare.push(await startBare(site.containerd, pods));
  }
  site.relay.heal();
  await site.nodeIs("True", 120_000);
  return [
    {
      name: `offline restart, ${pods} pods adopted`,
      value: median(adopted) / 1_000,
      unit: "s",
      goal: 3,
    },
    {
      name: `offline restart, ${pods} pods started cold, last Running`,
      value: median(cold) / 1_000,
      unit: "s",
      goal: 3,
      beside: "KubeEdge 3.9 s at best, 4 to 15 (10 pods)",
    },
    { name: `the same, worst of ${REBOOTS}`, value: Math.max(...cold) / 1_000, unit: "s" },
    {
      name: `${pods} such pods by CRI calls alone, last started`,
      value: median(bare) / 1_000,
      unit: "s",
    },
  ];
}

async function idleMetric(site: Site, pods: number, signal: AbortSignal): Promise<Metric> {
  await clock.sleep(SETTLE_MS, signal);
  return {
    name: `edge CPU, idle with ${pods} pods`,
    value: await cpuPercent(site.edgeProcess.pid, IDLE_SECONDS, signal),
    unit: "%",
    goal: 1,
    beside: "KubeEdge 1.9 % (20 pods)",
  };
}

/** The median of several starts, part by part. */
async function memoryAtRest(site: Site, signal: AbortSignal): Promise<Memory> {
  const readings: Memory[] = [];
  for (let i = 0; i < READINGS; i++) {
    await site.killEdge();
    await site.startEdge();
    await clock.sleep(SETTLE_MS, signal);
    readings.push(await memoryOf(site.edgeProcess.pid));
  }
  const of = (part: keyof Memory) => median(readings.map((reading) => reading[part]));
  return { pssMb: of("pssMb"), rssMb: of("rssMb"), anonymousMb: of("anonymousMb") };
}

function memoryMetrics(few: Memory, many: Memory): Metric[] {
  const perPodKb = (part: keyof Memory) => (many[part] - few[part]) / (MANY - FEW) * 1_000;
  return [
    { name: `edge PSS, ${FEW} pods`, value: few.pssMb, unit: "MB" },
    { name: `edge PSS, ${MANY} pods`, value: many.pssMb, unit: "MB", goal: 70 },
    { name: `edge anonymous, ${MANY} pods`, value: many.anonymousMb, unit: "MB", goal: 33 },
    { name: "memory per pod, PSS", value: perPodKb("pssMb"), unit: "kB", goal: 150 },
    { name: "memory per pod, anonymous", value: perPodKb("anonymousMb"), unit: "kB", goal: 150 },
  ];
}

async function decisionMetrics(site: Site): Promise<Metric[]> {
  const names = Array.from({ length: ENDS.pods }, (_, i) => `end-${i}`);
  await createPods(site, names.map((name) => idlePod(name, ENDS.containers)));
  await allRunInCloud(site, MANY + ENDS.pods);
  const tookMs = await restartDecisions(site, await containersOf(site, "end-"));
  await site.kubectl.must(["delete", "pod", ...names]);
  return [
    {
      name: `container ended to the next one made, p99 of ${tookMs.length}, no runtime events`,
      value: quantile(tookMs, 0.99) / 1_000,
      unit: "s",
      goal: 1.5,
    },
    { name: "the same, median", value: median(tookMs) / 1_000, unit: "s" },
  ];
}

/** From a node without pods to STORM of them, all accepted at once. */
async function stormMetrics(site: Site, signal: AbortSignal): Promise<Metric[]> {
  await site.kubectl.must(["delete", "pods", "--all"]);
  const done = new AbortController();
  const peak = peakMemory(site.edgeProcess.pid, AbortSignal.any([signal, done.signal]));
  const startMs = clock.monotonicMs();
  await growTo(site, STORM);
  const tookMs = clock.monotonicMs() - startMs;
  done.abort();
  const rest = (await clock.sleep(SETTLE_MS, signal), await memoryOf(site.edgeProcess.pid));
  return [
    { name: `storm of ${STORM} pods, all Running`, value: tookMs / 1_000, unit: "s" },
    { name: "storm, highest PSS of the edge", value: await peak, unit: "MB" },
    { name: `edge PSS afterwards, ${STORM} pods`, value: rest.pssMb, unit: "MB" },
  ];
}

async function peakMemory(pid: number, signal: AbortSignal): Promise<number> {
  let peakMb = 0;
  while (!signal.aborted) {
    peakMb = Math.max(peakMb, (await memoryOf(pid)).pssMb);
    await clock.sleep(SAMPLE_MS, signal).catch(() => {}); // the end of the storm ends the wait
  }
  return peakMb;
}
