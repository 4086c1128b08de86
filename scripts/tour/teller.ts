/**
 * How the demo talks: a numbered line for each step, commands after `$` as one would type them, and
 * their output indented and kept short. Paths of the private folder are shown as `$D`.
 */
import type { RunResult } from "../../tests/support/process.ts";
import { AppError } from "../../shared/errors.ts";

const INDENT = "      ";
/** A demo is read, not scrolled: longer output is cut, and says so. */
const LINES_MAX = 12;
const COLUMNS_MAX = 110;

export class Teller {
  step = 0;
  readonly #dir: string;
  readonly #write: (line: string) => void;

  constructor(dir: string, write: (line: string) => void) {
    this.#dir = dir;
    this.#write = write;
  }

  plain(text: string): void {
    this.#write(text);
  }

  begin(text: string): void {
    this.step++;
    this.#write(`\n${String(this.step).padStart(2)}  ${text}`);
  }

  note(text: string): void {
    this.#write(`    ${text}`);
  }

  command(text: string): void {
    this.#write(`${INDENT}$ ${this.short(text)}`);
  }

  output(text: string): void {
    const lines = this.short(text).trimEnd().split("\n");
    for (const line of lines.slice(0, LINES_MAX)) {
      const cut = line.length > COLUMNS_MAX ? `${line.slice(0, COLUMNS_MAX - 1)}…` : line;
      this.#write(`${INDENT}${cut}`.trimEnd());
    }
    if (lines.length > LINES_MAX) this.#write(`${INDENT}… ${lines.length - LINES_MAX} more lines`);
  }

  /** Shows a command, runs it, shows what it printed; a failing command ends the story. */
  async act(shown: string, run: Promise<RunResult>): Promise<string> {
    this.command(shown);
    const { code, stdout, stderr } = await run;
    if (stdout !== "") this.output(stdout);
    if (code !== 0) {
      throw new AppError("internal", `${this.short(shown)}: exit ${code}: ${stderr.trim()}`);
    }
    return stdout;
  }

  short(text: string): string {
    return text.replaceAll(this.#dir, "$D");
  }
}
