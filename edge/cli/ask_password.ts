/**
 * A password from whoever sits at the terminal, unseen and twice, or from a pipe: its first line.
 * Never from the command line, where every user of the machine can read it.
 */
import { UsageError } from "../../shared/cli/command.ts";
import { writeError } from "../../shared/cli/run_program.ts";
import { AppError } from "../../shared/errors.ts";

/** The broker reads no longer ones. */
export const PASSWORD_BYTES_MAX = 1_024;

const [CTRL_C, CTRL_D, BACKSPACE, DELETE, CTRL_U] = [3, 4, 8, 127, 21];
const [LF, CR] = [10, 13];

export async function askPassword(what: string): Promise<string> {
  if (!Deno.stdin.isTerminal()) return checked(await firstLine());
  const password = checked(typed(`Password for ${what}: `));
  if (typed("Again: ") !== password) throw new UsageError("the two passwords differ");
  return password;
}

function checked(password: string): string {
  const bytes = new TextEncoder().encode(password).length;
  if (bytes > 0 && bytes <= PASSWORD_BYTES_MAX && !password.includes("\0")) return password;
  throw new AppError(
    "invalid",
    `A password must have 1 to ${PASSWORD_BYTES_MAX} bytes and no NUL, got ${bytes}`,
  );
}

async function firstLine(): Promise<string> {
  const bytes = new Uint8Array(PASSWORD_BYTES_MAX + 2);
  let size = 0;
  while (size < bytes.length && !bytes.subarray(0, size).includes(LF)) {
    const count = await Deno.stdin.read(bytes.subarray(size));
    if (count === null) break;
    size += count;
  }
  const end = bytes.indexOf(LF);
  const line = new TextDecoder().decode(bytes.subarray(0, end < 0 ? size : end));
  return line.replace(/\r$/, "");
}

/** Reads a line with the terminal's echo off; Ctrl-C ends as it would anywhere. */
function typed(prompt: string): string {
  Deno.stderr.writeSync(new TextEncoder().encode(prompt));
  Deno.stdin.setRaw(true);
  try {
    const typed: number[] = [];
    const byte = new Uint8Array(1);
    for (;;) {
      const count = Deno.stdin.readSync(byte);
      const code = byte[0] ?? 0;
      if (code === CTRL_C) throw new AppError("canceled", "Stopped at the prompt");
      if (count === null || code === LF || code === CR || code === CTRL_D) break;
      if (code === BACKSPACE || code === DELETE) dropCharacter(typed);
      else if (code === CTRL_U) typed.length = 0;
      else if (typed.length <= PASSWORD_BYTES_MAX) typed.push(code);
    }
    return new TextDecoder().decode(Uint8Array.from(typed));
  } finally {
    Deno.stdin.setRaw(false);
    writeError("");
  }
}

/** One character may be several bytes of UTF-8. */
function dropCharacter(bytes: number[]): void {
  while ((bytes.pop() ?? 0) >> 6 === 0b10) { /* the rest of it */ }
}
