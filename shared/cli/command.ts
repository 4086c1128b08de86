/**
 * The command line of both programs as data: a program has commands, a command has flags and
 * operands. Help is made from the table; unknown flags, missing values and stray operands are usage
 * errors that name the thing.
 */
import { parseArgs } from "@std/cli/parse-args";

export interface FlagSpec {
  name: string;
  /** Placeholder of the value in help ("FILE"); absent for a switch. */
  value?: string;
  /** One-letter form: "o" for -o. */
  short?: string;
  help: string;
  /** The flag may be given several times. */
  repeated?: boolean;
}

export interface Invocation {
  /** The last value of a flag; undefined when it was not given. */
  flag(name: string): string | undefined;
  flags(name: string): string[];
  isSet(name: string): boolean;
  operands: string[];
}

export interface CommandSpec {
  /** One or two words: "run", "token create". */
  name: string;
  summary: string;
  /** What stands behind the flags in the usage line: "[KIND [NAME]]". */
  operands?: string;
  operandsMin?: number;
  operandsMax?: number;
  flags: FlagSpec[];
  /** Returns the exit status. */
  run(invocation: Invocation, signal: AbortSignal): Promise<number>;
}

export interface ProgramSpec {
  name: string;
  summary: string;
  commands: CommandSpec[];
}

/** A command line that cannot be understood; exit status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export type Selected =
  | { kind: "help"; text: string }
  | { kind: "run"; command: CommandSpec; invocation: Invocation };

/** Finds the command and reads its flags; throws UsageError. */
export function selectCommand(program: ProgramSpec, args: readonly string[]): Selected {
  const [first, second] = args;
  if (first === undefined || first === "--help" || first === "-h" || first === "help") {
    return { kind: "help", text: programHelp(program) };
  }
  const command = program.commands.find((c) => c.name === `${first} ${second}`) ??
    program.commands.find((c) => c.name === first);
  if (!command) {
    const family = program.commands.filter((c) => c.name.startsWith(first + " "));
    if (family.length > 0 && (second === undefined || second === "--help" || second === "-h")) {
      return { kind: "help", text: programHelp({ ...program, commands: family }) };
    }
    const word = family.length > 0 && second !== undefined ? `${first} ${second}` : first;
    throw new UsageError(`unknown command "${word}"; see ${program.name} --help`);
  }
  const rest = args.slice(command.name.split(" ").length);
  if (rest.some((arg, i) => isHelp(arg) && !rest.slice(0, i).includes("--"))) {
    return { kind: "help", text: commandHelp(program, command) };
  }
  return { kind: "run", command, invocation: readInvocation(program, command, rest) };
}

function isHelp(arg: string): boolean {
  return arg === "--help" || arg === "-h";
}

function readInvocation(program: ProgramSpec, command: CommandSpec, args: string[]): Invocation {
  const see = `see ${program.name} ${command.name} --help`;
  const valued = command.flags.filter((flag) => flag.value !== undefined);
  const switches = command.flags.filter((flag) => flag.value === undefined);
  const alias = Object.fromEntries(
    command.flags.filter((f) => f.short !== undefined).map((f) => [f.name, f.short ?? ""]),
  );
  const parsed = parseArgs(args, {
    string: [...valued.map((flag) => flag.name), "_"],
    boolean: switches.map((flag) => flag.name),
    collect: valued.map((flag) => flag.name),
    alias,
    "--": false,
    unknown: (arg) => {
      if (arg.startsWith("-") && arg !== "-") throw new UsageError(`unknown flag ${arg}; ${see}`);
      return true;
    },
  });
  const values = new Map<string, string[]>();
  for (const { name, repeated } of valued) {
    const given = asTexts(parsed[name]);
    if (given.includes("")) throw new UsageError(`flag --${name} needs a value; ${see}`);
    if (given.length > 1 && !repeated) {
      throw new UsageError(`flag --${name} is given more than once; ${see}`);
    }
    values.set(name, given);
  }
  const operands = parsed._.map(String);
  if (operands.length > (command.operandsMax ?? 0)) {
    throw new UsageError(`unexpected argument "${operands[command.operandsMax ?? 0]}"; ${see}`);
  }
  if (operands.length < (command.operandsMin ?? 0)) {
    throw new UsageError(`missing argument ${command.operands ?? ""}; ${see}`);
  }
  return {
    operands,
    flag: (name) => values.get(name)?.at(-1),
    flags: (name) => values.get(name) ?? [],
    isSet: (name) => parsed[name] === true || (values.get(name)?.length ?? 0) > 0,
  };
}

function asTexts(value: unknown): string[] {
  if (value === undefined) return [];
  return (Array.isArray(value) ? value : [value]).map(String);
}

export function programHelp(program: ProgramSpec): string {
  const width = Math.max(...program.commands.map((command) => command.name.length));
  return `${program.name}: ${program.summary}\n\nUsage: ${program.name} COMMAND [FLAGS]\n\n` +
    "Commands:\n" +
    program.commands.map((c) => `  ${c.name.padEnd(width)}  ${c.summary}\n`).join("") +
    `\n${program.name} COMMAND --help tells the flags of a command.\n`;
}

export function commandHelp(program: ProgramSpec, command: CommandSpec): string {
  const label = (flag: FlagSpec) =>
    `${flag.short ? `-${flag.short}, ` : "    "}--${flag.name}${
      flag.value ? ` ${flag.value}` : ""
    }`;
  const flags = [...command.flags, { name: "help", short: "h", help: "Show this." }];
  const width = Math.max(...flags.map((flag) => label(flag).length));
  const operands = command.operands ? ` ${command.operands}` : "";
  const usage = `Usage: ${program.name} ${command.name} [FLAGS]${operands}`;
  return `${command.summary}\n\n${usage}\n\nFlags:\n` +
    flags.map((flag) => `  ${label(flag).padEnd(width)}  ${flag.help}\n`).join("");
}
