/**
 * `deno task tidy`: what a reviewer would otherwise have to remember. House numbers, TODO format,
 * README headings, strangers in tracked files, and a type-aware check for floating promises. Prints
 * one line per fault and ends with 1 when there is any. Excuses stand in tidy/exceptions.ts.
 */
import { dirname, fromFileUrl, join } from "@std/path";
import { EXCEPTIONS } from "./tidy/exceptions.ts";
import { checkFloating } from "./tidy/floating.ts";
import { loadProgram } from "./tidy/project.ts";
import { checkLines, checkReadme, checkStrangers, checkSyntax, type Fault } from "./tidy/rules.ts";

const ROOT = dirname(dirname(fromFileUrl(import.meta.url)));
const GENERATED = "shared/gen/";
/** Folders that are no room of their own: their parent's README speaks for them. */
const NO_ROOM = /^(shared\/(adr|cli|gen|json|types|testing|async|k8s|wire))$/;
/** Parents of a checkout that are everybody's: naming them tells nothing about this machine. */
const COMMON_PARENTS = ["/", "/tmp", "/root", "/home", "/srv", "/opt", "/usr/src", "/var/tmp"];

async function trackedFiles(): Promise<string[]> {
  const args = ["-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"];
  const command = new Deno.Command("git", { args, cwd: ROOT, stderr: "inherit" });
  const { success, stdout } = await command.output();
  if (!success) throw new Error("Cannot list the tracked files: git ls-files failed");
  return new TextDecoder().decode(stdout).split("\0").filter((path) => path !== "");
}

/** The text of each file that is there and is text. */
async function readTexts(paths: readonly string[]): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  await Promise.all(paths.map(async (path) => {
    const bytes = await Deno.readFile(join(ROOT, path)).catch(() => undefined);
    if (bytes && !bytes.subarray(0, 8000).includes(0)) {
      texts.set(path, new TextDecoder().decode(bytes));
    }
  }));
  return texts;
}

/** Top-level folders and the rooms in them that must have a README. */
function rooms(paths: Iterable<string>): string[] {
  const found = new Set<string>();
  for (const path of paths) {
    const [top, room, file] = path.split("/");
    if (!top || !room || !/^(edge|cloud|shared|proto|scripts|tests)$/.test(top)) continue;
    found.add(top);
    if (file && /^(edge|cloud|shared)$/.test(top)) found.add(`${top}/${room}`);
  }
  return [...found].filter((room) => !NO_ROOM.test(room)).sort();
}

function machinePaths(): string[] {
  const parent = dirname(ROOT);
  return COMMON_PARENTS.includes(parent) ? [`${ROOT}/`] : [`${parent}/`];
}

function isShell(path: string, text: string): boolean {
  return /^#!\/(usr\/)?bin\/(env )?(ba)?sh\b/.test(text) || path.endsWith(".sh");
}

/** Faults without the excused ones, and a fault for each excuse that excuses nothing. */
function excuse(faults: readonly Fault[]): Fault[] {
  const used = new Set<string>();
  const left = faults.filter((fault) => {
    const row = EXCEPTIONS.find((it) => it.path === fault.path && it.rule === fault.rule);
    if (row) used.add(`${row.path} ${row.rule}`);
    return !row;
  });
  for (const { path, rule } of EXCEPTIONS) {
    if (used.has(`${path} ${rule}`)) continue;
    left.push({ path, line: 1, rule: "exception", message: `is excused from ${rule} for nothing` });
  }
  return left;
}

async function collect(): Promise<{ faults: Fault[]; count: number }> {
  const texts = await readTexts(await trackedFiles());
  const strangers = machinePaths();
  const faults: Fault[] = [];
  for (const [path, text] of texts) {
    faults.push(...checkStrangers(path, text, strangers));
    if (path.startsWith(GENERATED)) continue;
    if (path.endsWith(".ts") || isShell(path, text)) faults.push(...checkLines(path, text));
  }
  for (const room of rooms(texts.keys())) {
    const path = `${room}/README.md`;
    faults.push(...checkReadme(path, texts.get(path)));
  }
  const sources = [...texts.keys()].filter((path) =>
    path.endsWith(".ts") && !path.startsWith(GENERATED)
  );
  const program = await loadProgram(ROOT, sources);
  const checker = program.getTypeChecker();
  for (const path of sources) {
    const file = program.getSourceFile(join(ROOT, path));
    if (!file) throw new Error(`Cannot check ${path}: the compiler did not load it`);
    faults.push(...checkSyntax(path, file), ...checkFloating(path, file, checker));
  }
  return { faults: excuse(faults), count: texts.size };
}

if (import.meta.main) {
  const { faults, count } = await collect();
  for (const { path, line, rule, message } of faults) {
    console.log(`${path}:${line}: ${rule}: ${message}`);
  }
  console.log(faults.length === 0 ? `tidy: ${count} files` : `tidy: ${faults.length} faults`);
  Deno.exit(faults.length === 0 ? 0 : 1);
}
