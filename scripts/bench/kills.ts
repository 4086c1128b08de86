/**
 * `deno task bench kills [ROUNDS] [SEED]`: edge, cloud, runtime and MQTT broker of a real site are
 * killed with SIGKILL, alone and together, 200 times and more, under load. Nothing acknowledged may
 * be lost, nothing deleted may come back, and pods nobody touched must be the same containers in
 * the end. Programs are compiled ones where SKERRY_PROGRAMS names their folder, else from source.
 */
import { ApiWrites } from "../../tests/support/kills/api_writes.ts";
import type { Load } from "../../tests/support/kills/load.ts";
import { PassingPods, SteadyPods } from "../../tests/support/kills/pods.ts";
import { killRounds, PROGRAMS } from "../../tests/support/kills/rounds.ts";
import { SiteRestarts } from "../../tests/support/kills/site_edits.ts";
import { Broker, TwinUpdates } from "../../tests/support/kills/twins.ts";
import { startSite } from "../../tests/support/site.ts";
import { type BenchOptions, type BenchResult, median, type Metric } from "./result.ts";

const ROUNDS = 200;
const SEED = 1;
const STEADY = 4;
const PASSING = 3;
const TELL_EVERY = 10;
const FAULTS_SHOWN = 20;

export async function run({ args, signal }: BenchOptions): Promise<BenchResult> {
  const [rounds = ROUNDS, seed = SEED] = args.map(Number);
  const steady = new SteadyPods(STEADY);
  const restarts = new SiteRestarts();
  await using broker = new Broker();
  await using site = await startSite({ joinFlags: () => broker.joinFlags });
  await broker.start(site);
  const twins = new TwinUpdates(broker);
  const loads: Load[] = [new ApiWrites(), steady, new PassingPods(PASSING), restarts, twins];
  await steady.start(site);
  await restarts.start(site);
  await twins.start(site);
  const onRound = (done: number) => {
    if (done % TELL_EVERY === 0) console.error(`${done} of ${rounds} rounds`);
  };
  const options = { rounds, seed, victims: [...PROGRAMS, broker], loads, signal, onRound };
  const { kills, readyMs, faults } = await killRounds(site, options);
  for (const fault of faults.slice(0, FAULTS_SHOWN)) console.error(fault);
  if (faults.length > 0) console.error(await site.tails());
  const total = Object.values(kills).reduce((sum, count) => sum + count, 0);
  const metrics: Metric[] = [
    { name: "kills", value: total, unit: "", goal: rounds, better: "more" },
    ...Object.entries(kills).map(([name, value]) => ({ name: `kills: ${name}`, value, unit: "" })),
    { name: "promises broken", value: faults.length, unit: "", goal: 0 },
  ];
  if (readyMs.length > 0) {
    metrics.push(
      { name: "killed to all well again", value: median(readyMs) / 1_000, unit: "s" },
      { name: "the same, worst", value: Math.max(...readyMs) / 1_000, unit: "s" },
    );
  }
  const notes = { seed, ...Object.fromEntries(loads.map((load) => [load.name, load.summary()])) };
  return { bench: "kills", metrics, notes };
}
