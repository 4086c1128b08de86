/**
 * `deno task sim`: runs seeds of the simulated world and prints what they went through. Exit 1 when
 * anything that must hold did not; the line to run that seed again is printed with it.
 *
 *     deno task sim --seed 42 --days 1 --nodes 3        one seed, every line of it with --trace
 *     deno task sim --seeds 50                          seeds 1 to 50
 *     deno task sim --offline --days 400                one long night
 */
import { parseArgs } from "@std/cli/parse-args";
import { SystemClock } from "../shared/clock.ts";
import { runSim, type SimResult } from "../tests/sim/run.ts";

const RECENT_LINES = 40;

const flags = parseArgs(Deno.args, {
  string: ["seed", "seeds", "days", "nodes"],
  boolean: ["offline", "trace", "help"],
  default: { days: "0.05", nodes: "2" },
});
if (flags.help) {
  console.log("deno task sim [--seed N | --seeds N] [--days D] [--nodes N] [--offline] [--trace]");
  Deno.exit(0);
}

const first = flags.seed === undefined ? 1 : whole("seed", String(flags.seed));
const count = flags.seeds === undefined ? 1 : whole("seeds", String(flags.seeds));
const days = positive("days", String(flags.days));
const nodes = whole("nodes", String(flags.nodes));
const clock = new SystemClock();
const totals = new Map<string, number>();
const highest = new Map<string, number>();
const failed: SimResult[] = [];
const beganMs = clock.monotonicMs();
let virtualDays = 0;
let rounds = 0;

for (let seed = first; seed < first + count; seed++) {
  const result = await runSim({
    seed,
    days,
    nodes,
    isOffline: flags.offline === true,
    ...flags.trace ? { onLine: (line: string) => console.log(line) } : {},
  });
  virtualDays += result.days;
  rounds += result.rounds;
  for (const [what, n] of result.counts) totals.set(what, (totals.get(what) ?? 0) + n);
  for (const [what, n] of result.highest) highest.set(what, Math.max(highest.get(what) ?? 0, n));
  const verdict = result.violations.length === 0 ? "ok" : "VIOLATED";
  console.log(`seed ${seed}: ${verdict}, trace ${result.digest.slice(0, 16)}`);
  if (result.violations.length > 0) {
    failed.push(result);
    tellFailure(result);
  }
}
tellSummary();
Deno.exit(failed.length === 0 ? 0 : 1);

function tellFailure({ seed, violations, recent }: SimResult): void {
  for (const each of violations) console.log(`  ${each}`);
  for (const line of recent.slice(-RECENT_LINES)) console.log(`    ${line}`);
  const offline = flags.offline ? " --offline" : "";
  console.log(`  again: deno task sim --seed ${seed} --days ${days} --nodes ${nodes}${offline}`);
}

function tellSummary(): void {
  const seconds = (clock.monotonicMs() - beganMs) / 1_000;
  const faults = [...totals].filter(([what]) => what.startsWith("fault: "))
    .map(([what, n]) => [what.slice("fault: ".length), n] as const);
  const violations = failed.reduce((sum, each) => sum + each.violations.length, 0);
  console.log(`
seeds            ${count} (from ${first}), ${nodes} nodes each
virtual days     ${virtualDays.toFixed(2)} in ${seconds.toFixed(0)} s
rounds           ${rounds}, each healed and converged
faults           ${faults.reduce((sum, [, n]) => sum + n, 0)}`);
  for (const [what, n] of faults.sort(([, a], [, b]) => b - a)) tell(what, n);
  console.log("operations and outcomes");
  for (const [what, n] of [...totals].sort()) if (!what.startsWith("fault: ")) tell(what, n);
  console.log("highest seen");
  for (const [what, n] of [...highest].sort()) tell(what, n);
  console.log(`violations       ${violations}`);
}

function tell(what: string, n: number): void {
  console.log(`  ${String(n).padStart(9)}  ${what}`);
}

function whole(name: string, text: string): number {
  const value = positive(name, text);
  if (Number.isInteger(value)) return value;
  return refuse(name, text, "a whole number above 0");
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  return refuse(name, text, "a number above 0");
}

function refuse(name: string, text: string, wanted: string): never {
  console.error(`--${name} must be ${wanted}, got ${text}`);
  Deno.exit(2);
}
