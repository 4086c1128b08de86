/**
 * `deno task bench NAME [ARGS]`: runs scripts/bench/NAME.ts, prints its table and one JSON line,
 * and keeps the JSON in dist/bench/NAME.json. Hyphens in NAME are underscores in the file's name.
 */
import { dirname, fromFileUrl, join } from "@std/path";
import { errorChain } from "../../shared/errors.ts";
import { type Bench, type BenchResult, formatTable } from "./result.ts";

const HERE = dirname(fromFileUrl(import.meta.url));
const OUT = join(dirname(dirname(HERE)), "dist", "bench");
/** Files here that help benches and are none. */
const HELPERS = ["main", "result", "memory", "built_programs"];

async function benchNames(): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(HERE));
  return entries.map(({ name }) => name)
    .filter((name) => name.endsWith(".ts") && !name.endsWith("_test.ts"))
    .map((name) => name.slice(0, -".ts".length))
    .filter((name) => !HELPERS.includes(name))
    .map((name) => name.replaceAll("_", "-")).sort();
}

async function runBench(name: string, args: string[]): Promise<BenchResult> {
  const file = new URL(`./${name.replaceAll("-", "_")}.ts`, import.meta.url);
  const module: { run: Bench } = await import(file.href);
  const workDir = await Deno.makeTempDir({ prefix: `skerry-bench-` });
  const stop = new AbortController();
  const onSignal = () => stop.abort(new Error("interrupted"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, onSignal);
  try {
    return await module.run({ workDir, args, signal: stop.signal });
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.removeSignalListener(signal, onSignal);
    }
    await Deno.remove(workDir, { recursive: true });
  }
}

if (import.meta.main) {
  const [name, ...args] = Deno.args;
  const names = await benchNames();
  if (name === undefined || !names.includes(name)) {
    console.error(`Usage: deno task bench NAME, with NAME one of: ${names.join(", ") || "(none)"}`);
    Deno.exit(2);
  }
  try {
    const result = await runBench(name, args);
    const json = JSON.stringify(result);
    console.log(formatTable(result));
    for (const [key, value] of Object.entries(result.notes ?? {})) console.log(`${key}: ${value}`);
    console.log(json);
    await Deno.mkdir(OUT, { recursive: true });
    await Deno.writeTextFile(join(OUT, `${name}.json`), `${json}\n`);
  } catch (error) {
    console.error(`bench ${name}: ${errorChain(error)}`);
    Deno.exit(1);
  }
}
