/**
 * Kills programs of a site (SIGKILL, no warning) while loads are on it, and starts them again: one
 * at a time, or several at the same instant, at moments a seed decides, also while the last one is
 * still coming back. In the end all is left to heal and the loads say whether a promise was broken.
 */
import { SystemClock } from "../../../shared/clock.ts";
import { AppError } from "../../../shared/errors.ts";
import type { Node } from "../../../shared/k8s/types.ts";
import { type Random, SeededRandom } from "../../../shared/random.ts";
import type { Site } from "../site.ts";
import { conditionOf } from "../site_clients.ts";
import { until } from "../until.ts";
import type { Load } from "./load.ts";

/** A program that can be killed, and how it comes back. */
export interface Victim {
  readonly name: string;
  kill(site: Site): Promise<void>;
  start(site: Site): Promise<void>;
}

export const PROGRAMS: readonly Victim[] = [
  { name: "edge", kill: (site) => site.killEdge(), start: (site) => site.startEdge() },
  { name: "cloud", kill: (site) => site.killCloud(), start: (site) => site.startCloud() },
  {
    name: "runtime",
    kill: (site) => site.containerd.crash(),
    start: (site) => site.containerd.start(),
  },
];

export interface RoundsOptions {
  rounds: number;
  seed: number;
  victims: readonly Victim[];
  loads: readonly Load[];
  signal: AbortSignal;
  /** Said now and then: "50 of 200". */
  onRound?: (done: number) => void;
}

export interface RoundsResult {
  /** By victim. */
  kills: Record<string, number>;
  /** Times from a kill to a node that is Ready again, where it was waited for. */
  readyMs: number[];
  faults: string[];
}

/** Between two kills, at most: some hit a program that has not come back yet. */
const PAUSE_MS_MAX = 2_500;
/** A program stays dead this long at most. */
const DEAD_MS_MAX = 800;
/** Every so often it is waited until all is well, and how long that takes is noted. */
const HEAL_EVERY = 8;
const HEAL_MS_MAX = 120_000;
const SEVERAL = 0.25;

export async function killRounds(site: Site, options: RoundsOptions): Promise<RoundsResult> {
  const { rounds, victims, loads, signal } = options;
  const random = new SeededRandom(options.seed);
  const clock = new SystemClock();
  const kills: Record<string, number> = {};
  const readyMs: number[] = [];
  const stop = new AbortController();
  const running = loads.map((load) => load.run(site, AbortSignal.any([signal, stop.signal])));
  try {
    for (let round = 0; round < rounds; round++) {
      await clock.sleep(random.float() * PAUSE_MS_MAX, signal);
      const atMs = clock.monotonicMs();
      const chosen = choose(victims, random);
      for (const { name } of chosen) kills[name] = (kills[name] ?? 0) + 1;
      await Promise.all(chosen.map((victim) => victim.kill(site)));
      await clock.sleep(random.float() * DEAD_MS_MAX, signal);
      await Promise.all(chosen.map((victim) => victim.start(site)));
      if (round % HEAL_EVERY === HEAL_EVERY - 1) {
        await healthy(site);
        readyMs.push(clock.monotonicMs() - atMs);
      }
      options.onRound?.(round + 1);
    }
  } finally {
    stop.abort();
    await Promise.all(running);
  }
  await healthy(site);
  const faults = (await Promise.all(loads.map((load) => load.faults(site)))).flat();
  return { kills, readyMs, faults };
}

function choose(victims: readonly Victim[], random: Random): Victim[] {
  if (random.float() < SEVERAL) {
    const several = victims.filter(() => random.float() < 0.6);
    if (several.length > 0) return several;
  }
  const one = victims[Math.floor(random.float() * victims.length)];
  if (!one) throw new AppError("invalid", "Cannot kill: there must be a victim");
  return [one];
}

/** The edge is ready by its own word, its runtime answers it, and the cloud hears of it. */
async function healthy(site: Site): Promise<void> {
  await until(async () => {
    const ready = await site.edge.fetch("/readyz");
    await ready.body?.cancel();
    const node = await site.edge.get<Node>(`/api/v1/nodes/${site.nodeName}`);
    return ready.ok && conditionOf(node, "Ready")?.status === "True" &&
      await site.edge.linkState() === "live";
  }, { what: "an edge that is well", timeoutMs: HEAL_MS_MAX, everyMs: 50 });
  await site.nodeIs("True", HEAL_MS_MAX);
}
