/**
 * A serial line as the kernel has it: set up by stty, read only while an answer is awaited, in
 * reads that return after a tenth of a second, so that nothing hangs in the kernel when it is
 * closed.
 */
import { AppError, errorChain } from "../../../../shared/errors.ts";
import type { Line } from "./address.ts";
import type { ByteLine } from "./rtu_port.ts";

type Serial = Extract<Line, { kind: "serial" }>;

export interface TtyLine extends ByteLine {
  readonly lost: AbortSignal;
}

const READ_BYTES = 512;
/** A line that never falls silent is not waited for. */
const STALE_READS_MAX = 20;

export async function openTty(line: Serial, signal: AbortSignal): Promise<TtyLine> {
  await setUp(line, signal);
  const file = await Deno.open(line.path, { read: true, write: true }).catch((cause) => {
    throw new AppError("unavailable", `Cannot open ${line.path}`, {}, { cause });
  });
  return new Tty(line.path, file);
}

async function setUp(line: Serial, signal: AbortSignal): Promise<void> {
  const { path, baudRate, dataBits, parity, stopBits } = line;
  const { success, stderr } = await new Deno.Command("stty", {
    args: [
      "-F",
      path,
      String(baudRate),
      `cs${dataBits}`,
      stopBits === 2 ? "cstopb" : "-cstopb",
      ...(parity === "none" ? ["-parenb"] : ["parenb", parity === "odd" ? "parodd" : "-parodd"]),
      ..."raw -echo -crtscts clocal cread min 0 time 1".split(" "),
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    signal,
  }).output().catch((cause) => {
    throw new AppError("unavailable", "Cannot run stty, which sets up serial lines", {}, { cause });
  });
  if (success) return;
  const words = new TextDecoder().decode(stderr).trim().slice(0, 200);
  throw new AppError("unavailable", `Cannot set up ${path}: ${words}`);
}

class Tty implements TtyLine {
  readonly #lost = new AbortController();
  readonly #path: string;
  readonly #file: Deno.FsFile;
  #io: Promise<void> = Promise.resolve();

  constructor(path: string, file: Deno.FsFile) {
    this.#path = path;
    this.#file = file;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  write(bytes: Uint8Array, stale: boolean): void {
    const frame = bytes.slice();
    this.#then(async () => {
      let left = stale ? STALE_READS_MAX : 0;
      while (left-- > 0 && (await this.#file.read(new Uint8Array(READ_BYTES)) ?? 0) > 0);
      for (let at = 0; at < frame.length;) at += await this.#file.write(frame.subarray(at));
    });
  }

  poll(push: (bytes: Uint8Array) => void, wanted: () => boolean): void {
    this.#then(async () => {
      const bytes = new Uint8Array(READ_BYTES);
      while (wanted()) {
        const length = await this.#file.read(bytes) ?? 0;
        if (length > 0) push(bytes.slice(0, length));
      }
    });
  }

  async end(): Promise<void> {
    this.#lost.abort(new AppError("canceled", `${this.#path} was closed`));
    await this.#io;
    this.#file.close();
  }

  /** In order; a failure is the end of the line. */
  #then(work: () => Promise<void>): void {
    this.#io = this.#io.then(async () => {
      if (!this.#lost.signal.aborted) await work();
    }).catch((error) => {
      const message = `Serial line ${this.#path} failed: ${errorChain(error)}`;
      this.#lost.abort(new AppError("unavailable", message));
    });
  }
}
