/**
 * What a container of the fake runtime does: a list of steps, run on the runtime's clock. Programs
 * are given by a test, or read from the container's own command by `programOfCommand`, which knows
 * enough of a shell (`echo`, `printf`, `sleep`, `exit`, `trap … TERM`, `true`, `false`, `;`, `&&`,
 * `while true`, no quoted separators) that the same pod does the same thing on the fake and on a
 * real runtime. Pure.
 */

/** The pause that keeps a loop without sleep from filling the disk, or a virtual clock's time. */
const LOOP_MS = 100;

export type FakeStep =
  | { kind: "print"; stream: "stdout" | "stderr"; text: string }
  | { kind: "sleep"; ms: number }
  | { kind: "exit"; code: number; reason?: string };

export interface FakeProgram {
  /** Run in order; a program that runs out of steps exits with 0. */
  steps: FakeStep[];
  /** Run over and over after `steps`; a round without a sleep takes LOOP_MS. */
  loop?: FakeStep[];
  /** Answer to the stop signal; "ignore" waits for SIGKILL, as a PID 1 without a handler does. */
  onTerm: "ignore" | { afterMs: number; code: number };
  /** StartContainer fails with this message; the container ends as StartError with code 128. */
  startError?: string;
}

/** The process never ends by itself; ends with 0 at once when it is told to stop. */
export function runsUntilStopped(): FakeProgram {
  return { steps: [{ kind: "sleep", ms: Infinity }], onTerm: { afterMs: 0, code: 0 } };
}

/** Never ends by itself, and has to be killed: exit code 137. */
export function runsUntilKilled(): FakeProgram {
  return { steps: [{ kind: "sleep", ms: Infinity }], onTerm: "ignore" };
}

/** Runs for `afterMs`, then exits with `code`. */
export function exitsAfter(afterMs: number, code: number, reason?: string): FakeProgram {
  const exit: FakeStep = { kind: "exit", code };
  if (reason !== undefined) exit.reason = reason;
  return { steps: [{ kind: "sleep", ms: afterMs }, exit], onTerm: "ignore" };
}

export function failsToStart(message: string): FakeProgram {
  return { steps: [], onTerm: "ignore", startError: message };
}

/**
 * The program that `words` (command and arguments) spell; undefined when it knows no such command.
 */
export function programOfCommand(words: string[]): FakeProgram | undefined {
  const [name, flag, script] = words;
  const isShell = name !== undefined && /^(\/bin\/)?(sh|bash|ash)$/.test(name);
  if (isShell && flag === "-c" && script !== undefined) return programOfScript(script);
  const steps = stepsOfCommand(words);
  return steps && { steps, onTerm: "ignore" };
}

function programOfScript(script: string): FakeProgram | undefined {
  const parts = /^(.*?)while (?:true|:)\s*[;\n]\s*do\s(.*?)[;\n]?\s*done\s*;?\s*$/s.exec(script);
  const program = programOfCommands(parts ? parts[1] ?? "" : script);
  const body = parts ? programOfCommands(parts[2] ?? "") : undefined;
  if (!program || !parts) return program;
  if (!body) return undefined;
  const hasSleep = body.steps.some((step) => step.kind === "sleep");
  const loop = hasSleep ? body.steps : [...body.steps, { kind: "sleep" as const, ms: LOOP_MS }];
  return { ...program, loop };
}

function programOfCommands(script: string): FakeProgram | undefined {
  const program: FakeProgram = { steps: [], onTerm: "ignore" };
  for (const command of script.split(/;|&&|\n/)) {
    const trap = /^\s*trap\s+['"]?exit (\d+)['"]?\s+(?:SIG)?TERM\s*$/.exec(command);
    if (trap) {
      program.onTerm = { afterMs: 0, code: Number(trap[1]) };
      continue;
    }
    const words = shellWords(command);
    if (words.length === 0) continue;
    const steps = stepsOfCommand(words);
    if (!steps) return undefined;
    program.steps.push(...steps);
  }
  return program;
}

/** Words of one command; quotes group. A background `&` at the end is left out with `wait`. */
function shellWords(command: string): string[] {
  const words = command.match(/'[^']*'|"[^"]*"|[^\s'"]+/g) ?? [];
  return words.filter((word) => word !== "&" && word !== "wait")
    .map((word) => word.replace(/^(['"])(.*)\1$/s, "$2"));
}

function stepsOfCommand(words: string[]): FakeStep[] | undefined {
  const toStderr = words.at(-1) === ">&2";
  const stream = toStderr ? "stderr" : "stdout";
  const [path, ...args] = toStderr ? words.slice(0, -1) : words;
  switch (path?.replace(/^\/bin\//, "")) {
    case "echo":
      return [{ kind: "print", stream, text: args.join(" ") + "\n" }];
    case "printf":
      return [{ kind: "print", stream, text: (args[0] ?? "").replaceAll("\\n", "\n") }];
    case "sleep":
      return [{ kind: "sleep", ms: sleepMs(args[0] ?? "0") }];
    case "exit":
      return [{ kind: "exit", code: Number(args[0] ?? 0) }];
    case "true":
      return [{ kind: "exit", code: 0 }];
    case "false":
      return [{ kind: "exit", code: 1 }];
    default:
      return undefined;
  }
}

function sleepMs(text: string): number {
  const seconds = Number(text);
  return Number.isNaN(seconds) ? Infinity : seconds * 1000;
}
