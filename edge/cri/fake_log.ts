/**
 * A container's log file as the kubelet layout has it: each line is `<time> <stream> F <text>`, a
 * last line without newline is tagged P. The file stays open between lines, as with a real runtime:
 * after a rename the lines go on into the renamed file until `reopen`.
 */
import { AppError } from "../../shared/errors.ts";
import type { Clock } from "../../shared/clock.ts";

export class FakeLog {
  readonly #path: string;
  readonly #clock: Clock;
  #file: Deno.FsFile | undefined;

  /** Opens (or makes) the file; its folder must be there, as for a real runtime. */
  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
    this.#file = this.#open();
  }

  write(stream: "stdout" | "stderr", text: string): void {
    for (const line of text.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
      const isWhole = line.endsWith("\n");
      const stamp = new Date(this.#clock.nowMs()).toISOString().replace("Z", "000000Z");
      const entry = `${stamp} ${stream} ${isWhole ? "F" : "P"} ${line}${isWhole ? "" : "\n"}`;
      this.#file?.writeSync(new TextEncoder().encode(entry));
    }
  }

  reopen(): void {
    const next = this.#open();
    this.close();
    this.#file = next;
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #open(): Deno.FsFile {
    try {
      return Deno.openSync(this.#path, { append: true, create: true, mode: 0o640 });
    } catch (cause) {
      throw new AppError(
        "internal",
        `failed to create container loggers: failed to open ${this.#path}`,
        { path: this.#path },
        { cause },
      );
    }
  }
}
