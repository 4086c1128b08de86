/**
 * `deno task build [edge|cloud ...] [--target x86_64|aarch64] [--out DIR]`: one executable per side
 * and architecture, `<out>/skerry-<side>-<arch>`.
 *
 * `deno compile` embeds a runtime (denort): the file DENORT_BIN names where that is set, else one
 * that Deno downloads. The program is bundled and minified, which lowers what is resident and
 * halves the file. A bundled sql.js does not find its WASM by itself: whoever loads it defines
 * `globalThis.__dirname` first, which its Node branch reads, and instantiates the WASM itself
 * (shared/store/sqlite_wasm.ts); the file is embedded here under the first name that loader tries.
 * What few nodes need is a bundle of its own, embedded beside the program and read when it is.
 */
import { parseArgs } from "@std/cli/parse-args";
import { dirname, fromFileUrl, join, relative, resolve } from "@std/path";
import { EMBEDDED_OPCUA_PATH } from "../shared/embedded.ts";
import { EMBEDDED_WASM_PATHS, packageWasmUrl } from "../shared/store/sqlite_wasm.ts";

const ROOT = dirname(dirname(fromFileUrl(import.meta.url)));
const USAGE = "Usage: build [edge] [cloud] [--target x86_64|aarch64] [--out DIR]";
const ARCHITECTURES = ["x86_64", "aarch64"];

/** Smaller heaps for machines where memory is scarce; figures in memory.md. */
const CLOUD_HEAP = ["--liftoff-only", "--max-semi-space-size=1", "--optimize-for-size"];

/**
 * The heap of the edge grows in small steps, not "optimised for size": that compacts it all at
 * every collection, which holds up answers for tens of milliseconds where there are thousands of
 * devices.
 */
const EDGE_HEAP = ["--liftoff-only", "--max-semi-space-size=2", "--heap-growing-percent=40"];

/**
 * The edge goes without the two middle compilers, whose code stays in memory; what is hot is still
 * optimised. `gc` is for the trims after the start and after bursts (edge/trim.ts).
 */
const V8_FLAGS: Readonly<Record<string, readonly string[]>> = {
  edge: [...EDGE_HEAP, "--no-sparkplug", "--no-maglev", "--expose-gc"],
  cloud: CLOUD_HEAP,
};

/**
 * What each program may do. The edge reads /proc and /sys and writes below /dev (mounts, cgroups,
 * statistics), which Deno grants only with everything.
 */
const PERMISSIONS: Readonly<Record<string, readonly string[]>> = {
  edge: ["--allow-all"],
  cloud: ["read", "write", "net", "env", "run", "sys"].map((name) => `--allow-${name}`),
};

const SIDES = Object.keys(PERMISSIONS);

/**
 * A real executable holds a runtime of about 100 MB; less means that DENORT_BIN is something else.
 */
const SIZE_BYTES_MIN = 40_000_000;

/** Exit status when there is no runtime to embed (EX_UNAVAILABLE of sysexits.h). */
const UNAVAILABLE = 69;

class BuildError extends Error {
  readonly exitStatus: number;

  constructor(exitStatus: number, message: string) {
    super(message);
    this.exitStatus = exitStatus;
  }
}

interface Job {
  readonly side: string;
  readonly arch: string;
  readonly outDir: string;
}

/** The embedded WASM's place, below the top so that the loader finds it beside the bundle. */
async function stageWasm(): Promise<string> {
  const path = join(ROOT, EMBEDDED_WASM_PATHS[0] ?? "dist/sql-wasm.wasm");
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeFile(path, await Deno.readFile(packageWasmUrl()));
  return path;
}

/** The OPC UA library: most of it would lie in the memory of nodes without such a device. */
async function stageOpcUa(): Promise<string> {
  const path = join(ROOT, EMBEDDED_OPCUA_PATH);
  const source = "edge/mappers/drivers/opcua/library.ts";
  const args = ["bundle", "--quiet", "--frozen", "--minify", "--output", path, source];
  const command = new Deno.Command(Deno.execPath(), { args, cwd: ROOT, stderr: "piped" });
  const { success, stderr } = await command.output();
  if (success) return path;
  throw new BuildError(1, `Cannot bundle ${source}: ${new TextDecoder().decode(stderr).trim()}`);
}

async function compile(job: Job, embedded: readonly string[]): Promise<void> {
  const output = join(job.outDir, `skerry-${job.side}-${job.arch}`);
  const args = [
    "compile",
    "--quiet",
    "--frozen",
    "--no-check",
    "--bundle",
    "--minify",
    // it would read and write the compiled code in a shared temporary folder, where any user may
    // put a file first that then runs with the rights of this program
    "--no-code-cache",
    ...PERMISSIONS[job.side] ?? [],
    "--no-prompt",
    `--v8-flags=${V8_FLAGS[job.side]?.join()}`,
    ...embedded.flatMap((path) => ["--include", relative(ROOT, path)]),
    "--target",
    `${job.arch}-unknown-linux-gnu`,
    "--output",
    `${output}.part`,
    `${job.side}/main.ts`,
  ];
  const command = new Deno.Command(Deno.execPath(), { args, cwd: ROOT, stderr: "piped" });
  const { success, stderr } = await command.output();
  if (!success) {
    const words = new TextDecoder().decode(stderr).split("\n\nStack backtrace")[0]?.trim() ?? "";
    const unavailable = words.includes("Setting up base binary");
    const message = `Cannot build skerry-${job.side} for ${job.arch}: `;
    throw new BuildError(
      unavailable ? UNAVAILABLE : 1,
      message + (unavailable ? hint(job) : "") + words,
    );
  }
  const { size } = await Deno.stat(`${output}.part`);
  if (size < SIZE_BYTES_MIN) {
    await Deno.remove(`${output}.part`);
    const message = `Cannot build skerry-${job.side} for ${job.arch}: ${hint(job)}${size} bytes`;
    throw new BuildError(1, message);
  }
  await Deno.rename(`${output}.part`, output);
  console.log(`${relative(Deno.cwd(), output)}  ${(size / 1e6).toFixed(0)} MB`);
}

/** The usual cause: no runtime for that architecture. */
function hint(job: Job): string {
  const own = Deno.env.get("DENORT_BIN");
  return own
    ? `is DENORT_BIN=${own} the ${job.arch} runtime of Deno ${Deno.version.deno}? `
    : `Deno must reach its download host for the ${job.arch} runtime, or DENORT_BIN name one: `;
}

function parseJobs(argv: string[]): Job[] | string {
  const unknown: string[] = [];
  const args = parseArgs(argv, {
    string: ["target", "out"],
    default: { target: Deno.build.arch, out: "dist" },
    unknown: (arg, key) => {
      if (key) unknown.push(arg);
      return !key;
    },
  });
  const sides = args._.length > 0 ? args._.map(String) : SIDES;
  const arch = String(args.target);
  const bad = [...unknown, ...sides.filter((side) => !SIDES.includes(side))];
  if (bad.length > 0) return `Cannot build ${bad[0]}\n${USAGE}`;
  if (!ARCHITECTURES.includes(arch)) return `Cannot build for ${arch}\n${USAGE}`;
  const outDir = resolve(ROOT, String(args.out));
  return sides.map((side) => ({ side, arch, outDir }));
}

if (import.meta.main) {
  const jobs = parseJobs(Deno.args);
  if (typeof jobs === "string") {
    console.error(jobs);
    Deno.exit(2);
  }
  try {
    const wasm = await stageWasm();
    const opcua = jobs.some(({ side }) => side === "edge") ? [await stageOpcUa()] : [];
    for (const job of jobs) {
      await Deno.mkdir(job.outDir, { recursive: true });
      await compile(job, job.side === "edge" ? [wasm, ...opcua] : [wasm]);
    }
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    Deno.exit(error instanceof BuildError ? error.exitStatus : 1);
  }
}
