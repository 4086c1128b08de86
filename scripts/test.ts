/**
 * Runs the parts of `scripts/test` and adds them up. Each gate (fmt, lint, check, tidy, gen, build)
 * counts as one test; `deno test` runs are counted from their JUnit reports, and a run that ends
 * badly without naming a failed case counts as one failure itself. Skipped tests are named; on CI
 * nothing is skipped for want of a part.
 *
 * Tests run whole programs on machines that others use too. Where at most `SECOND_LOOKS` files of
 * a run failed, these run once more by themselves; so does all of it when it ended badly without a
 * failed case, as when a file could not be loaded. What passes then counts as passed and is named
 * as unsteady: a fault to look for, not a reason to throw away the run.
 */
import { dirname, fromFileUrl, join } from "@std/path";
import { closingLine, failedFiles, readJunit, type Tally } from "./junit.ts";

const ROOT = dirname(dirname(fromFileUrl(import.meta.url)));
const ON_CI = Deno.env.get("CI") === "true";
/** Exit status of scripts/build.ts when there is no runtime to embed (EX_UNAVAILABLE). */
const UNAVAILABLE = 69;

const SECOND_LOOKS = 2;

const UNIT = ["shared", "cloud", "edge", "scripts", "tests/support"];
const INTEGRATION = [
  "tests/contract",
  "tests/integration",
  "tests/api_conformance",
  "tests/golden",
  "tests/sim",
  "tests/upgrade",
];
const E2E = ["tests/e2e"];

const GATES: readonly [string, string[]][] = [
  ["fmt", ["fmt", "--check"]],
  ["lint", ["lint"]],
  ["check", ["check"]],
  ["tidy", ["task", "--quiet", "tidy"]],
  ["gen --check", ["task", "--quiet", "gen", "--check"]],
];

type Part = (report: (tally: Tally) => void, work: string) => Promise<void>;

const PARTS: Readonly<Record<string, Part>> = {
  async gates(report) {
    for (const [name, args] of GATES) report(await gate(name, args));
  },
  async unit(report, work) {
    report(await testRun("unit", UNIT, { work, parallel: true }));
  },
  async integration(report, work) {
    report(await testRun("integration", INTEGRATION, { work }));
  },
  async e2e(report, work) {
    report(await testRun("e2e from source", E2E, { work, programs: "source" }));
    const built = await gate("build", ["task", "--quiet", "build"]);
    report(built);
    if (built.passed === 0) {
      report({ passed: 0, failed: [], skipped: ["e2e on binaries: they were not built"] });
      return;
    }
    report(await testRun("e2e on binaries", E2E, { work, programs: join(ROOT, "dist") }));
  },
};

function heading(name: string): void {
  console.log(`\n=== ${name}`);
}

async function deno(args: string[], env: Record<string, string> = {}): Promise<number> {
  const command = new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT,
    env,
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  });
  return (await command.output()).code;
}

async function gate(name: string, args: string[]): Promise<Tally> {
  heading(name);
  const code = await deno(args);
  if (code === 0) return { passed: 1, failed: [], skipped: [] };
  if (code === UNAVAILABLE && !ON_CI) {
    return { passed: 0, failed: [], skipped: [`${name}: a part of the machine is missing`] };
  }
  return { passed: 0, failed: [name], skipped: [] };
}

interface TestRun {
  /** Folder for reports. */
  work: string;
  parallel?: boolean;
  /** What end-to-end tests run: "source", or the folder with the executables. */
  programs?: string;
}

async function testRun(name: string, folders: string[], options: TestRun): Promise<Tally> {
  heading(name);
  const there = folders.filter((folder) => hasTests(join(ROOT, folder)));
  if (there.length === 0) return { passed: 0, failed: [], skipped: [`${name}: no tests yet`] };
  const first = await denoTest(name, there, options);
  const suspects = failedFiles(first.report);
  if (first.code === 0 || suspects.length > SECOND_LOOKS) return tallyOf(name, first);
  const known = suspects.length > 0 ? readJunit(first.report, suspects) : undefined;
  const files = known ? suspects : there;
  heading(`${name}, ended with ${first.code}, once more: ${files.join(" ")}`);
  const again = tallyOf(name, await denoTest(`${name} again`, files, options));
  return {
    passed: (known?.passed ?? 0) + again.passed,
    failed: again.failed,
    skipped: [...known?.skipped ?? [], ...again.skipped],
    unsteady: again.failed.length === 0 ? files.map((file) => `${name}: ${file}`) : [],
  };
}

interface Ran {
  code: number;
  /** JUnit; "" when there is none. */
  report: string;
}

async function denoTest(name: string, what: string[], options: TestRun): Promise<Ran> {
  const junit = join(options.work, `${name.replaceAll(" ", "-")}.xml`);
  const args = ["test", "--quiet", "--frozen", "--no-prompt", "--no-check", "--allow-all"];
  if (options.parallel) args.push("--parallel");
  args.push(`--junit-path=${junit}`, ...what);
  const env: Record<string, string> = options.programs ? { SKERRY_PROGRAMS: options.programs } : {};
  const code = await deno(args, env);
  return { code, report: await Deno.readTextFile(junit).catch(() => "") };
}

function tallyOf(name: string, { code, report }: Ran): Tally {
  const tally = readJunit(report);
  if (!tally) return { passed: 0, failed: [`${name}: ended with ${code}`], skipped: [] };
  if (code !== 0 && tally.failed.length === 0) tally.failed.push(`${name}: ended with ${code}`);
  return tally;
}

function hasTests(folder: string): boolean {
  try {
    return Array.from(Deno.readDirSync(folder)).some(({ name, isDirectory }) =>
      isDirectory ? hasTests(join(folder, name)) : name.endsWith("_test.ts")
    );
  } catch {
    return false; // no such folder: nothing to run there
  }
}

if (import.meta.main) {
  const wanted = Deno.args.length > 0 ? Deno.args : Object.keys(PARTS);
  const unknown = wanted.find((name) => !Object.hasOwn(PARTS, name));
  if (unknown !== undefined) {
    console.error(`No such part: ${unknown}. Parts: ${Object.keys(PARTS).join(", ")}`);
    Deno.exit(2);
  }
  const tallies: Tally[] = [];
  const work = await Deno.makeTempDir({ prefix: "skerry-test-" });
  try {
    for (const name of wanted) await PARTS[name]?.((tally) => tallies.push(tally), work);
  } finally {
    await Deno.remove(work, { recursive: true });
  }
  console.log("");
  for (const name of tallies.flatMap((tally) => tally.unsteady ?? [])) {
    console.log(`unsteady: ${name}`);
  }
  for (const name of tallies.flatMap((tally) => tally.failed)) console.log(`failed: ${name}`);
  for (const name of tallies.flatMap((tally) => tally.skipped)) console.log(`skipped: ${name}`);
  console.log(closingLine(tallies));
  Deno.exit(tallies.some((tally) => tally.failed.length > 0) ? 1 : 0);
}
