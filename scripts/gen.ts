/**
 * `deno task gen`: makes shared/gen from proto. buf reads and checks the files, and calls
 * protoc-gen-es, both from npm in the versions of deno.json, both run by Deno; no Node.
 *
 * Always generates into a temporary folder first: without arguments shared/gen is then made equal
 * to it (files nobody makes any more are removed), with `--check` nothing is written, and a
 * difference is exit status 1 with the names of the files. `--lint` runs buf's lint instead, and
 * `--breaking DIR` compares proto with an older copy of it (a git checkout, for example).
 */
import { dirname, fromFileUrl, join } from "@std/path";

const ROOT = dirname(dirname(fromFileUrl(import.meta.url)));
const PROTO_DIR = join(ROOT, "proto");
const GEN_DIR = join(ROOT, "shared", "gen");
const CONFIG = join(ROOT, "deno.json");
const USAGE = "Usage: gen.ts [--check | --lint | --breaking DIR]";

/** The pinned npm specifier that deno.json maps `name` to. */
async function pinned(name: string): Promise<string> {
  const config: { imports?: Record<string, string> } = JSON.parse(await Deno.readTextFile(CONFIG));
  const specifier = config.imports?.[name];
  if (!specifier) throw new Error(`Cannot generate: deno.json must map ${name}`);
  return specifier;
}

function shellQuoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Puts an executable `protoc-gen-es` into `dir`; that is how buf finds a local plugin. */
async function writePlugin(dir: string): Promise<void> {
  const words = [Deno.execPath(), "run", "-A", "--quiet", "--config", CONFIG];
  words.push(await pinned("@bufbuild/protoc-gen-es"));
  const script = `#!/bin/sh\nexec ${words.map(shellQuoted).join(" ")} "$@"\n`;
  await Deno.writeTextFile(join(dir, "protoc-gen-es"), script, { mode: 0o755 });
}

/** Runs buf in proto/; true when it ended well. Its own messages go to our stderr. */
async function buf(args: string[], pluginDir?: string): Promise<boolean> {
  const path = Deno.env.get("PATH") ?? "";
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--config", CONFIG, await pinned("@bufbuild/buf"), ...args],
    cwd: PROTO_DIR,
    env: pluginDir ? { PATH: `${pluginDir}:${path}` } : {},
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  });
  return (await command.output()).success;
}

/** Every generated file below `dir`: relative path to content. */
async function readTree(dir: string, below = ""): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const entries = Deno.readDir(join(dir, below));
  try {
    for await (const entry of entries) {
      const path = join(below, entry.name);
      if (entry.isDirectory) {
        for (const [name, text] of await readTree(dir, path)) files.set(name, text);
      } else if (entry.name.endsWith("_pb.ts")) {
        files.set(path, await Deno.readTextFile(join(dir, path)));
      }
    }
  } catch (error) {
    // A checkout without shared/gen has no generated files yet.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return files;
}

/** The paths whose content is not the same in both, sorted. */
function differences(a: Map<string, string>, b: Map<string, string>): string[] {
  const paths = new Set([...a.keys(), ...b.keys()]);
  return [...paths].filter((path) => a.get(path) !== b.get(path)).sort();
}

async function makeEqual(wanted: Map<string, string>, paths: string[]): Promise<void> {
  for (const path of paths) {
    const file = join(GEN_DIR, path);
    const text = wanted.get(path);
    if (text === undefined) {
      await Deno.remove(file);
      continue;
    }
    await Deno.mkdir(dirname(file), { recursive: true });
    await Deno.writeTextFile(file, text);
  }
}

async function generate(check: boolean): Promise<number> {
  const workDir = await Deno.makeTempDir({ prefix: "skerry-gen-" });
  try {
    const outDir = join(workDir, "out");
    await writePlugin(workDir);
    if (!(await buf(["generate", "--template", "buf.gen.yaml", "-o", outDir], workDir))) return 1;
    const wanted = await readTree(outDir);
    const paths = differences(wanted, await readTree(GEN_DIR));
    if (check) {
      for (const path of paths) console.error(`shared/gen/${path} differs from proto`);
      if (paths.length > 0) console.error("Run `deno task gen` and commit the result");
      return paths.length === 0 ? 0 : 1;
    }
    await makeEqual(wanted, paths);
    console.log(`shared/gen: ${wanted.size} files, ${paths.length} changed`);
    return 0;
  } finally {
    await Deno.remove(workDir, { recursive: true });
  }
}

async function main(args: string[]): Promise<number> {
  const [mode, dir, ...rest] = args;
  if (mode === undefined) return await generate(false);
  if (mode === "--check" && dir === undefined) return await generate(true);
  if (mode === "--lint" && dir === undefined) return (await buf(["lint"])) ? 0 : 1;
  if (mode === "--breaking" && dir !== undefined && rest.length === 0) {
    return (await buf(["breaking", "--against", await Deno.realPath(dir)])) ? 0 : 1;
  }
  console.error(USAGE);
  return 2;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
