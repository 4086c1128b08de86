/**
 * One run of a seed: rounds of faults under load, each followed by healing and the wait for
 * everything to be as it should. `offline` is another history: the line is cut for so many days,
 * while the cloud and the nodes' runtimes go on.
 */
import { errorChain } from "../../shared/errors.ts";
import { Checkers } from "./checkers.ts";
import { whatDiffers } from "./converged.ts";
import { Faults } from "./faults.ts";
import { Model } from "./model.ts";
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

export interface SimOptions {
  seed: number;
  nodes: number;
  days: number;
  /** Cut off for all the days instead of rounds of faults. */
  isOffline?: boolean;
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
  recent: readonly string[];
}

export async function runSim(options: SimOptions): Promise<SimResult> {
  const { seed, nodes, onLine } = options;
  const world = await World.create({ seed, nodes });
  if (onLine) world.trace.onLine = onLine;
  let rounds = 0;
  const onUnhandled = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    world.trace.violate("no floating promise", errorChain(event.reason));
  };
  globalThis.addEventListener("unhandledrejection", onUnhandled);
  try {
    const history = new History(world);
    await history.begin();
    if (options.isOffline) await history.offline(options.days);
    else {
      const untilMs = options.days * DAY_MS;
      while (world.time.nowMs < untilMs && world.trace.violations.length === 0) {
        await history.round(untilMs);
        rounds++;
      }
    }
  } finally {
    await world[Symbol.asyncDispose]();
    globalThis.removeEventListener("unhandledrejection", onUnhandled);
  }
  const { trace, time } = world;
  const { violations, counts, highest, recent } = trace;
  const days = time.nowMs / DAY_MS;
  return { seed, days, rounds, digest: trace.digest(), violations, counts, highest, recent };
}

class History {
  readonly #world: World;
  readonly #model = new Model();
  readonly #checkers: Checkers;
  readonly #workload: Workload;
  readonly #faults: Faults;

  constructor(world: World) {
    this.#world = world;
    this.#checkers = new Checkers(world, this.#model);
    this.#workload = new Workload(world, this.#model);
    this.#faults = new Faults(world);
  }

  async begin(): Promise<void> {
    await this.#world.start();
    await this.#converge("start", START_MS);
  }

  async round(untilMs: number): Promise<void> {
    const { time, random } = this.#world;
    const [minMs, maxMs] = ROUND_MS;
    this.#workload.begin();
    this.#faults.begin();
    const roundMs = minMs + random.float() * (maxMs - minMs);
    await time.advance(Math.min(roundMs, Math.max(minMs, untilMs - time.nowMs)));
    this.#workload.end();
    this.#faults.heal();
    await this.#converge("converges after healing", CONVERGE_MS);
    await this.#checkEnd();
  }

  async offline(days: number): Promise<void> {
    const { time, network, edges } = this.#world;
    this.#workload.begin();
    await time.advance(HOUR_MS);
    for (const { name } of edges) {
      Object.assign(network.line(name).silent, { up: true, down: true });
    }
    await time.advance(HOUR_MS);
    this.#workload.end();
    await time.advance(days * DAY_MS);
    this.#faults.heal();
    await this.#converge("converges after the long night", CONVERGE_MS);
    await this.#checkEnd();
  }

  async #checkEnd(): Promise<void> {
    const { time, cloud } = this.#world;
    const { api } = cloud.cloud!; // it serves: that is part of having converged
    this.#checkers.compareModel((key) => this.#checkers.read(api, key));
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
