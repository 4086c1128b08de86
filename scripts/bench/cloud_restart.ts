/**
 * A cloud killed and started again: how long until its node is Ready by the node's own word,
 * and what a connected node costs the cloud in memory (500 real links, each with a node object and
 * its lease, against a fresh cloud). Arguments: [restarts, default 5] [nodes, default 500; 0 leaves
 * the memory part out]. Needs what a whole site needs, and root.
 */
import { SystemClock } from "../../shared/clock.ts";
import { fleetMemory } from "../../tests/support/link/fleet.ts";
import { type Comeback, restartCloud } from "../../tests/support/link/site_measures.ts";
import { startSite } from "../../tests/support/site.ts";
import { type BenchOptions, type BenchResult, median, type Metric } from "./result.ts";

const RESTARTS = 5;
const NODES = 500;
/** A session that has lived so long is one that was cut, not one that never got going. */
const SETTLE_MS = 12_000;

export async function run({ workDir, args, signal }: BenchOptions): Promise<BenchResult> {
  const [restarts = RESTARTS, nodes = NODES] = args.map(Number);
  const comebacks = await restartTimes(restarts, signal);
  const seconds = (of: keyof Comeback) => median(comebacks.map((each) => each[of])) / 1_000;
  const metrics: Metric[] = comebacks.length === 0 ? [] : [
    {
      name: "cloud killed to node Ready",
      value: seconds("readyMs"),
      unit: "s",
      goal: 5,
      beside: "KubeEdge 40 s",
    },
    { name: "cloud killed to API answering", value: seconds("apiMs"), unit: "s" },
    { name: "cloud killed to session", value: seconds("sessionMs"), unit: "s" },
    {
      name: "cloud killed to node Ready, worst",
      value: Math.max(...comebacks.map((each) => each.readyMs)) / 1_000,
      unit: "s",
    },
  ];
  if (nodes > 0) metrics.push(...await memory(workDir, nodes, signal));
  return { bench: "cloud-restart", metrics, notes: { restarts, nodes } };
}

async function restartTimes(restarts: number, signal: AbortSignal): Promise<Comeback[]> {
  if (restarts === 0) return [];
  const comebacks: Comeback[] = [];
  await using site = await startSite();
  for (let i = 0; i < restarts; i++) {
    await new SystemClock().sleep(SETTLE_MS, signal);
    comebacks.push(await restartCloud(site));
  }
  return comebacks;
}

async function memory(workDir: string, nodes: number, signal: AbortSignal): Promise<Metric[]> {
  const { emptyMb, fullMb } = await fleetMemory(workDir, nodes, signal);
  return [
    {
      name: `cloud memory per connected node (${nodes})`,
      value: (fullMb - emptyMb) / nodes,
      unit: "MB",
      goal: 0.15,
      beside: "flightctl 0.4-1.6 MB",
    },
    { name: "cloud memory without nodes", value: emptyMb, unit: "MB", goal: 100 },
    { name: `cloud memory with ${nodes} nodes`, value: fullMb, unit: "MB" },
  ];
}
