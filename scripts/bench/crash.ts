/**
 * Crashes and damage of the store. A scripted day runs on a simulated disk; at every write, sync,
 * rename and removal, those of the bulk file among them, the disk a power cut might leave is opened
 * again and held against what had been acknowledged. Then bits are flipped and files cut: on the
 * simulated disk in journal and snapshots, on a real one in the bulk file. Seeds are fixed;
 * `deno task bench crash POINTS DAMAGES` asks for more.
 */
import { SystemClock } from "../../shared/clock.ts";
import { SeededRandom } from "../../shared/random.ts";
import { BulkUnderDamage } from "../../shared/store/bulk_damage.ts";
import {
  checkCrash,
  type Crash,
  crashDay,
  damageDay,
  noDamage,
  runDay,
} from "../../shared/store/crash_day.ts";
import { SimDisk } from "../../shared/store/sim_disk.ts";
import { type BenchOptions, type BenchResult, type Metric, quantile } from "./result.ts";

const POINTS = 10_000;
const DAMAGES = 1_000;
/** Disks a power cut might leave, per point. */
const OUTCOMES = 3;
const OPEN_S_MAX = 2;

interface CrashFigures {
  points: number;
  again: number;
  openMs: number[];
  acts: Map<string, number>;
}

export async function run({ workDir, args, signal }: BenchOptions): Promise<BenchResult> {
  const points = Number(args[0] ?? POINTS);
  const damages = Number(args[1] ?? DAMAGES);
  const crashes = await crash(points, signal);
  const damaged = noDamage();
  const random = new SeededRandom(1);
  for (let seed = 1; damaged.flips + damaged.cuts < damages; seed++) {
    signal.throwIfAborted();
    const day = new SimDisk();
    await runDay(day, seed, { called: 0, acknowledged: 0 });
    for (let i = 0; i < 200; i++) await damageDay(day, random, i % 4 === 0, damaged);
  }
  const bulk = await BulkUnderDamage.make(workDir);
  for (let i = 0; i < damages / 4 && !signal.aborted; i++) await bulk.tryOne(random, i);
  signal.throwIfAborted();
  return toResult(crashes, damaged, bulk);
}

/** Throws at the first crash that loses anything. */
async function crash(points: number, signal: AbortSignal): Promise<CrashFigures> {
  const clock = new SystemClock();
  const figures: CrashFigures = { points: 0, again: 0, openMs: [], acts: new Map() };
  for (let seed = 1; figures.points < points; seed++) {
    const random = new SeededRandom(seed);
    for (const [i, crash] of (await crashDay(seed, OUTCOMES)).entries()) {
      signal.throwIfAborted();
      const where = `seed ${seed}, point ${i} (${crash.act})`;
      const second: Crash[] = [];
      // now and then the machine dies again while it recovers
      if (i % 16 === 0) {
        const at = { called: crash.at.called + 1, acknowledged: crash.at.acknowledged };
        crash.disk.onAct = (act) => second.push({ disk: crash.disk.crash(random), at, act });
      }
      figures.openMs.push(await checkCrash(crash, where, clock));
      figures.points++;
      figures.acts.set(crash.act, (figures.acts.get(crash.act) ?? 0) + 1);
      for (const again of second) {
        figures.openMs.push(await checkCrash(again, `${where}, then ${again.act}`, clock));
        figures.points++;
        figures.again++;
      }
    }
  }
  return figures;
}

function toResult(
  { points, again, openMs, acts }: CrashFigures,
  damaged: ReturnType<typeof noDamage>,
  { counts }: BulkUnderDamage,
): BenchResult {
  const flips = damaged.flips + counts.flips;
  const cuts = damaged.cuts + counts.cuts + counts.removed;
  const count = (name: string, value: number, goal?: Partial<Metric>): Metric => ({
    name,
    value,
    unit: "",
    ...goal,
  });
  return {
    bench: "crash",
    metrics: [
      count("crash points", points, { goal: POINTS, better: "more" }),
      count("of these while recovering from another crash", again),
      // the checks throw at the first one
      count("acknowledged commits or records lost", 0, { goal: 0 }),
      { name: "open, longest", value: Math.max(...openMs) / 1000, unit: "s", goal: OPEN_S_MAX },
      { name: "open, p99", value: quantile(openMs, 0.99) / 1000, unit: "s" },
      count("bit flips, cuts and removals", flips + cuts, { goal: DAMAGES, better: "more" }),
      count("damage not detected and not harmless", 0, { goal: 0 }),
      count("detected", damaged.detected + counts.detected),
      count("without effect on what is read", flips + cuts - damaged.detected - counts.detected),
      count("records lost with a damaged bulk file, all counted", counts.lost),
    ],
    notes: {
      acts: [...acts].map(([act, n]) => `${act} ${n}`).join(", "),
      flips,
      cutsAndRemovals: cuts,
      inJournalAndSnapshots: damaged.flips + damaged.cuts,
      inBulkFile: counts.flips + counts.cuts + counts.removed,
      journalDamageThatLostNothing: damaged.lossless,
    },
  };
}
