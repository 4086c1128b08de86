/**
 * `deno task sim`: runs seeds of the simulated world and prints what they went through. Exit 1 when
 * anything that must hold did not; the line to run that seed again is printed with it.
 *
 *     deno task sim --seed 42 --days 1 --nodes 3        one seed, every line of it with --trace
 *     deno task sim --seeds 24 --days 2 --nodes 3       seeds 1 to 24 (from another with --seed)
 *     deno task sim --offline --days 400 --nodes 1      one long night
 *
 * Calm hours follow each round of faults, 12 at most or as `--calm` says.
 */
import process from "node:process";
import { parseArgs } from "@std/cli/parse-args";
import { SystemClock } from "../shared/clock.ts";
import { CALM_HOURS, CONVERGE_MS, runSim, type SimResult } from "../tests/sim/run.ts";
import { QUEUE, QUEUES } from "../tests/sim/queues.ts";

const RECENT_LINES = 40;

// a failed dial makes some errors, a long night millions of them: nobody reads their stacks
Error.stackTraceLimit = 0;

const flags = parseArgs(Deno.args, {
  string: ["seed", "seeds", "days", "nodes", "calm"],
  boolean: ["offline", "trace", "help"],
  default: { days: "0.05", nodes: "2", calm: String(CALM_HOURS) },
});
if (flags.help) {
  console.log(
    "deno task sim [--seed N] [--seeds N] [--days D] [--nodes N] [--calm HOURS] [--offline] " +
      "[--trace]",
  );
  Deno.exit(0);
}

const first = flags.seed === undefined ? 1 : whole("seed", String(flags.seed));
const count = flags.seeds === undefined ? 1 : whole("seeds", String(flags.seeds));
const days = positive("days", String(flags.days));
const nodes = whole("nodes", String(flags.nodes));
const calmHours = Number(flags.calm);
if (!(calmHours >= 0)) refuse("calm", String(flags.calm), "hours, 0 or more");
const clock = new SystemClock();
const totals = new Map<string, number>();
const highest = new Map<string, number>();
const failed: SimResult[] = [];
const beganMs = clock.monotonicMs();
const memory = { startBytes: 0, endBytes: 0 };
let virtualDays = 0;
let rounds = 0;

for (let seed = first; seed < first + count; seed++) {
  const result = await runSim({
    seed,
    days,
    nodes,
    calmHours,
    isOffline: flags.offline === true,
    ...flags.trace ? { onLine: (line: string) => console.log(line) } : {},
  });
  virtualDays += result.days;
  rounds += result.rounds;
  for (const [what, n] of result.counts) totals.set(what, (totals.get(what) ?? 0) + n);
  for (const [what, n] of result.highest) highest.set(what, Math.max(highest.get(what) ?? 0, n));
  if (seed === first) memory.startBytes = result.memory.startBytes;
  memory.endBytes = result.memory.endBytes;
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
  const calm = calmHours === CALM_HOURS ? "" : ` --calm ${calmHours}`;
  console.log(
    `  again: deno task sim --seed ${seed} --days ${days} --nodes ${nodes}${calm}${offline}`,
  );
}

function tellSummary(): void {
  const seconds = (clock.monotonicMs() - beganMs) / 1_000;
  const faults = [...totals].filter(([what]) => what.startsWith("fault: "))
    .map(([what, n]) => [what.slice("fault: ".length), n] as const);
  const violations = failed.reduce((sum, each) => sum + each.violations.length, 0);
  console.log(`
seeds            ${count} (from ${first}), ${nodes} nodes each
virtual days     ${virtualDays.toFixed(2)} in ${seconds.toFixed(0)} s (${cpuSeconds()} s of CPU)
${history()}
faults           ${faults.reduce((sum, [, n]) => sum + n, 0)}`);
  for (const [what, n] of faults.sort(([, a], [, b]) => b - a)) tell(what, n);
  console.log("operations and outcomes");
  for (const [what, n] of [...totals].sort()) if (!what.startsWith("fault: ")) tell(what, n);
  console.log("queues: highest seen, of their bound");
  for (const { name, bound } of QUEUES) {
    tell(`of ${bound}: ${name}`, highest.get(`${QUEUE}${name}`) ?? 0);
  }
  console.log("highest seen");
  for (const [what, n] of [...highest].sort()) if (!what.startsWith(QUEUE)) tell(what, n);
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(0);
  const { startBytes, endBytes } = memory;
  console.log(
    `memory in use    ${megabytes(startBytes)} MB after the first start, ` +
      `${megabytes(endBytes)} MB at the end
violations       ${violations}`,
  );
}

function history(): string {
  const within = `within ${CONVERGE_MS / 60_000} virtual minutes`;
  if (flags.offline) {
    return `history          ${count} x cut off for ${days} days; converged ${within} of healing`;
  }
  return `rounds           ${rounds} of faults; each converged ${within} of healing`;
}

function cpuSeconds(): string {
  const { user, system } = process.cpuUsage();
  return ((user + system) / 1e6).toFixed(0);
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
