/**
 * One run of a seed: rounds of faults under load, each followed by healing, the wait for everything
 * to be as it should, and some calm hours in which it must stay so; at last the cloud's disk is
 * damaged. `offline` is another history: the line is cut for so many days, while the cloud, its
 * users, the nodes and the people at the sites go on.
 */
import { errorChain } from "../../shared/errors.ts";
import { Checkers } from "./checkers.ts";
import { damageCloud } from "./cloud_damage.ts";
import { whatDiffers } from "./converged.ts";
import { Faults } from "./faults.ts";
import { Model } from "./model.ts";
import { SiteUsers } from "./site_users.ts";
import { Workload } from "./workload.ts";
import { World } from "./world.ts";

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
/** How long a round of faults lasts, at least and at most. */
const ROUND_MS = [10 * 60_000, 60 * 60_000] as const;
/** The stated time to converge: the longest back-offs there are (5 min, twice), and some room. */
export const CONVERGE_MS = 20 * 60_000;
const QUIET_MS = 2 * 60_000;
const START_MS = 120_000;
/** Between two acts of the people at the sites: while faults go on, and in the long night. */
const SITE_PAUSE_MS = 120_000;
const NIGHT_LOOK_MS = 10 * 60_000;
const NIGHT_PAUSE_MS = 8 * DAY_MS;
/** Calm hours between rounds, at most. */
export const CALM_HOURS = 12;

export interface SimOptions {
  seed: number;
  nodes: number;
  days: number;
  /** Cut off for all the days instead of rounds of faults. */
  isOffline?: boolean;
  /** Calm hours after a round, at most; CALM_HOURS when left out. */
  calmHours?: number;
  onLine?: (line: string) => void;
}

export interface SimResult {
  seed: number;
  /** Virtual. */
  days: number;
  rounds: number;
  digest: string;
  violations: readonly string[];
  counts: ReadonlyMap<string, number>;
  highest: ReadonlyMap<string, number>;
  memory: { startBytes: number; endBytes: number };
  recent: readonly string[];
}

export async function runSim(options: SimOptions): Promise<SimResult> {
  const { seed, nodes, onLine } = options;
  const world = await World.create({ seed, nodes });
  if (onLine) world.trace.onLine = onLine;
  let rounds = 0;
  let startBytes = 0;
  let endBytes = 0;
  const onUnhandled = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    world.trace.violate("no floating promise", errorChain(event.reason));
  };
  globalThis.addEventListener("unhandledrejection", onUnhandled);
  try {
    const history = new History(world);
    await history.begin();
    startBytes = heldBytes();
    if (options.isOffline) await history.offline(options.days);
    else {
      const untilMs = options.days * DAY_MS;
      const calmMs = (options.calmHours ?? CALM_HOURS) * HOUR_MS;
      while (world.time.nowMs < untilMs && world.trace.violations.length === 0) {
        await history.round(untilMs, calmMs);
        rounds++;
      }
      if (world.trace.violations.length === 0) await history.damage();
    }
    endBytes = heldBytes();
  } finally {
    await world[Symbol.asyncDispose]();
    globalThis.removeEventListener("unhandledrejection", onUnhandled);
  }
  const { trace, time } = world;
  const { violations, counts, highest, recent } = trace;
  const days = time.nowMs / DAY_MS;
  const memory = { startBytes, endBytes };
  return {
    seed,
    days,
    rounds,
    digest: trace.digest(),
    violations,
    counts,
    highest,
    recent,
    memory,
  };
}

/** What is in use, without what only waits to be collected where that can be asked for. */
function heldBytes(): number {
  (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

class History {
  readonly #world: World;
  readonly #model = new Model();
  readonly #checkers: Checkers;
  readonly #workload: Workload;
  readonly #faults: Faults;
  readonly #site: SiteUsers;

  constructor(world: World) {
    this.#world = world;
    this.#checkers = new Checkers(world, this.#model);
    this.#workload = new Workload(world, this.#model);
    this.#faults = new Faults(world);
    this.#site = new SiteUsers(world, this.#model);
  }

  async begin(): Promise<void> {
    await this.#world.start();
    await this.#converge("start", START_MS);
  }

  async round(untilMs: number, calmMs: number): Promise<void> {
    const { time, random } = this.#world;
    const [minMs, maxMs] = ROUND_MS;
    this.#workload.begin();
    this.#site.begin(SITE_PAUSE_MS);
    this.#faults.begin();
    const roundMs = minMs + random.float() * (maxMs - minMs);
    await time.advance(Math.min(roundMs, Math.max(minMs, untilMs - time.nowMs)));
    this.#workload.end();
    this.#site.end();
    this.#faults.heal();
    await this.#converge("converges after healing", CONVERGE_MS);
    await this.#checkEnd();
    const calmUntilMs = Math.min(untilMs, time.nowMs + random.float() * calmMs);
    if (calmUntilMs <= time.nowMs) return;
    await time.advance(calmUntilMs - time.nowMs);
    await this.#converge("stays as it should in calm hours", START_MS);
  }

  async damage(): Promise<void> {
    await damageCloud(this.#world, this.#world.fork());
  }

  async offline(days: number): Promise<void> {
    const { time, network, edges } = this.#world;
    this.#workload.begin({ isPatient: true });
    await time.advance(HOUR_MS);
    for (const { name } of edges) {
      Object.assign(network.line(name).silent, { up: true, down: true });
    }
    this.#site.begin(SITE_PAUSE_MS);
    await time.advance(HOUR_MS);
    // from here on at the pace of a long night, on both sides of the cut
    this.#site.end();
    this.#workload.end();
    await time.advance(HOUR_MS);
    this.#checkers.lookMs = NIGHT_LOOK_MS;
    this.#site.begin(NIGHT_PAUSE_MS);
    this.#workload.begin({ pauseMsMax: NIGHT_PAUSE_MS, isPatient: true });
    await time.advance(Math.max(0, days * DAY_MS - 2 * HOUR_MS));
    this.#workload.end();
    this.#site.end();
    this.#faults.heal();
    await this.#converge("converges after the long night", CONVERGE_MS);
    await this.#checkEnd();
  }

  async #checkEnd(): Promise<void> {
    const { time, cloud } = this.#world;
    const serving = cloud.cloud!; // it serves: that is part of having converged
    this.#checkers.compareModel((key) => this.#checkers.read(serving.api, key));
    this.#site.check(serving);
    await time.advance(QUIET_MS);
    this.#checkers.checkQuiet();
  }

  async #converge(rule: string, withinMs: number): Promise<void> {
    const { time, trace } = this.#world;
    const beganMs = time.nowMs;
    let isDone = false;
    while (!isDone && time.nowMs - beganMs < withinMs) {
      await time.advance(1_000);
      isDone = this.#workload.pending === 0 && whatDiffers(this.#world).length === 0;
    }
    if (isDone) trace.max("seconds to converge", Math.round((time.nowMs - beganMs) / 1_000));
    else trace.violate(rule, whatDiffers(this.#world).join("; ") || "calls are still pending");
  }
}
