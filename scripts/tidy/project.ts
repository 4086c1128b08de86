/**
 * The checkout as a TypeScript program, as Deno sees it: the import map of deno.json, packages from
 * Deno's own cache shown to the compiler as a node_modules folder that does not exist, and Deno's
 * global types. Only its types are used; errors are `deno check`'s business.
 */
import ts from "typescript";
import { join } from "@std/path";

interface Packages {
  /** Package name to the folder that holds it. */
  readonly folders: ReadonlyMap<string, string>;
}

const DENO_TYPES = "deno_types.d.ts";

/** Builds the program over `paths` (relative to `root`). */
export async function loadProgram(root: string, paths: readonly string[]): Promise<ts.Program> {
  const [denoTypes, packages, imports] = await Promise.all([
    deno(root, ["types"]),
    findPackages(root),
    readImports(root),
  ]);
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ESNext,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    allowImportingTsExtensions: true,
    lib: ["lib.esnext.d.ts"],
    types: packages.folders.has("@types/node") ? ["node"] : [],
    noEmit: true,
    skipLibCheck: true,
    strict: true,
    baseUrl: root,
    paths: await typedDoors(root, imports),
  };
  const host = cacheHost(root, options, packages, denoTypes);
  const roots = [join(root, DENO_TYPES), ...paths.map((path) => join(root, path))];
  return ts.createProgram(roots, options, host);
}

async function deno(root: string, args: string[]): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), { args, cwd: root, stderr: "piped" });
  const { success, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`Cannot run deno ${args[0]}: ${decoder.decode(stderr).trim()}`);
  return decoder.decode(stdout);
}

async function readImports(root: string): Promise<Record<string, string>> {
  const config: { imports: Record<string, string> } = JSON.parse(
    await Deno.readTextFile(join(root, "deno.json")),
  );
  return config.imports;
}

/** Every npm package of the lock with the folder Deno keeps it in. */
async function findPackages(root: string): Promise<Packages> {
  const info: { npmPackages?: Record<string, { name: string; localPath?: string }> } = JSON.parse(
    await deno(root, ["info", "--json", "scripts/tidy/rules.ts"]),
  );
  const folders = new Map<string, string>();
  for (const { name, localPath } of Object.values(info.npmPackages ?? {})) {
    if (localPath) folders.set(name, localPath);
  }
  return { folders };
}

/** Import-map entries that point into the tree; `x.d.ts` beside `x.ts` holds its types. */
async function typedDoors(
  root: string,
  imports: Record<string, string>,
): Promise<Record<string, string[]>> {
  const paths: Record<string, string[]> = {};
  for (const [name, target] of Object.entries(imports)) {
    if (!target.startsWith("./")) continue;
    const typed = target.replace(/\.ts$/, ".d.ts");
    const found = await Deno.stat(join(root, typed)).catch(() => undefined);
    paths[name] = [found ? typed : target];
  }
  return paths;
}

function cacheHost(
  root: string,
  options: ts.CompilerOptions,
  packages: Packages,
  denoTypes: string,
): ts.CompilerHost {
  const base = ts.createCompilerHost(options, true);
  const modules = join(root, "node_modules");
  const real = (path: string): string => {
    if (!path.startsWith(`${modules}/`)) return path;
    const parts = path.slice(modules.length + 1).split("/");
    const name = parts[0]?.startsWith("@") ? parts.slice(0, 2).join("/") : parts[0] ?? "";
    const folder = packages.folders.get(name);
    return folder ? join(folder, path.slice(modules.length + 1 + name.length)) : path;
  };
  const types = join(root, DENO_TYPES);
  return {
    ...base,
    getCurrentDirectory: () => root,
    fileExists: (path) => path === types || base.fileExists(real(path)),
    directoryExists: (path) => {
      if (path === modules || path === join(modules, "@types")) return true;
      return base.directoryExists?.(real(path)) ?? false;
    },
    getDirectories: () => [],
    realpath: (path) => path,
    readFile: (path) => path === types ? denoTypes : base.readFile(real(path)),
    getSourceFile: (path, languageVersion) => {
      const text = path === types ? denoTypes : base.readFile(real(path));
      if (text === undefined) return undefined;
      return ts.createSourceFile(path, text, languageVersion, true);
    },
  };
}
