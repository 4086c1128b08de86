/**
 * From a command line to an exit status: 0 ok, 1 failure with one line on stderr, 2 usage, 70 a bug
 * of ours. SIGINT and SIGTERM abort the command's signal once; a second one ends the process at
 * once.
 */
import { AppError, errorChain, INVARIANT_EXIT_STATUS, InvariantError, isAbort } from "../errors.ts";
import { type ProgramSpec, selectCommand, UsageError } from "./command.ts";

export async function runProgram(program: ProgramSpec, args: readonly string[]): Promise<number> {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) Deno.exit(130);
    controller.abort(new AppError("canceled", "Stopped by signal"));
  };
  for (const name of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(name, stop);
  try {
    const selected = selectCommand(program, args);
    if (selected.kind === "help") {
      writeOut(selected.text);
      return 0;
    }
    return await selected.command.run(selected.invocation, controller.signal);
  } catch (error) {
    return explain(program, error, controller.signal);
  } finally {
    for (const name of ["SIGINT", "SIGTERM"] as const) Deno.removeSignalListener(name, stop);
  }
}

function explain(program: ProgramSpec, error: unknown, signal: AbortSignal): number {
  if (signal.aborted && isAbort(error, signal)) return 0;
  writeError(`${program.name}: ${errorChain(error)}`);
  if (error instanceof UsageError) return 2;
  if (isInvariant(error)) {
    writeError(error instanceof Error ? error.stack ?? "" : "");
    return INVARIANT_EXIT_STATUS;
  }
  return 1;
}

/** An InvariantError anywhere in the chain of causes. */
function isInvariant(error: unknown): boolean {
  for (let e = error, depth = 0; e instanceof Error && depth < 8; e = e.cause, depth++) {
    if (e instanceof InvariantError) return true;
  }
  return false;
}

/** Writes to stdout; a reader that has gone away (`| head`) is not an error. */
export function writeOut(text: string): void {
  writeAll(Deno.stdout, text);
}

export function writeError(line: string): void {
  writeAll(Deno.stderr, line + "\n");
}

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  let bytes = new TextEncoder().encode(text);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
