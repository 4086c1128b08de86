/**
 * Child processes for tests, bench and demo. Output goes to a file, so that a silent child never
 * blocks on a full pipe and its last lines can be shown when something fails. A child is stopped by
 * its own pid, TERM first, KILL after a grace, and its end is always awaited.
 */
import { join } from "@std/path";
import { SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { until } from "./until.ts";

/** Bytes of a log that a failure quotes, and that waitForLine reads back at most. */
const TAIL_BYTES = 4_096;

export interface ChildOptions {
  name: string;
  command: string;
  args?: string[];
  env?: Record<string, string>;
  cwd?: string;
  /** Folder the log file `<name>.log` goes to. */
  logDir: string;
}

export class Child {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  readonly status: Promise<Deno.CommandStatus>;
  readonly #process: Deno.ChildProcess;
  readonly #copied: Promise<void>;
  #ended: Deno.CommandStatus | undefined;

  constructor(name: string, logFile: string, process: Deno.ChildProcess, copied: Promise<void>) {
    this.name = name;
    this.logFile = logFile;
    this.pid = process.pid;
    this.#process = process;
    this.#copied = copied;
    this.status = process.status.then((status) => this.#ended = status);
  }

  get running(): boolean {
    return this.#ended === undefined;
  }

  kill(signal: Deno.Signal): void {
    if (this.running) this.#process.kill(signal);
  }

  /** Ends the child and waits for it; a child that ignores TERM is killed after `graceMs`. */
  async stop(graceMs = 10_000): Promise<Deno.CommandStatus> {
    const timer = new AbortController();
    if (this.running) {
      this.kill("SIGTERM");
      const grace = new SystemClock().sleep(graceMs, timer.signal).then(
        () => this.kill("SIGKILL"),
        () => {}, // the child ended first
      );
      await this.status;
      timer.abort();
      await grace;
    }
    await this.#copied;
    return await this.status;
  }

  /** The last lines the child wrote. */
  async tail(): Promise<string> {
    const text = await Deno.readTextFile(this.logFile).catch(() => "");
    return text.slice(-TAIL_BYTES);
  }

  /**
   * The first line that matches; fails with the child's last words when it ends or stays silent.
   */
  async waitForLine(pattern: RegExp, timeoutMs = 10_000): Promise<RegExpExecArray> {
    return await this.#wait(`a line matching ${pattern}`, timeoutMs, async () => {
      const lines = (await Deno.readTextFile(this.logFile)).split("\n");
      for (const line of lines) {
        const match = pattern.exec(line);
        if (match) return match;
      }
      return undefined;
    });
  }

  /** What `file` holds once it is there and whole JSON. */
  async waitForJson(file: string, timeoutMs = 10_000): Promise<unknown> {
    return await this.#wait(`JSON in ${file}`, timeoutMs, async () => {
      const value: unknown = JSON.parse(await Deno.readTextFile(file));
      return { value };
    }).then(({ value }) => value);
  }

  /** Waits for `probe` while the child runs. */
  async waitFor<T>(
    what: string,
    probe: () => Promise<T | undefined | false> | T | undefined | false,
    timeoutMs = 10_000,
  ): Promise<T> {
    return await this.#wait(what, timeoutMs, probe);
  }

  async #wait<T>(
    what: string,
    timeoutMs: number,
    probe: () => Promise<T | undefined | false> | T | undefined | false,
  ): Promise<T> {
    const outcome = await until<{ value: T } | { died: true }>(async () => {
      const died = !this.running;
      const value = await Promise.resolve(probe()).catch(() => undefined);
      if (value !== undefined && value !== false) return { value };
      return died ? { died } : undefined;
    }, { what: `${this.name}: ${what}`, timeoutMs }).catch(async (error) => {
      throw new AppError("unavailable", await this.#lastWords(String(error.message)));
    });
    if ("value" in outcome) return outcome.value;
    const code = this.#ended?.code;
    const message = `${this.name}: ended with ${code} before ${what}`;
    throw new AppError("unavailable", await this.#lastWords(message));
  }

  async #lastWords(message: string): Promise<string> {
    return `${message}\n--- ${this.logFile}\n${await this.tail()}`;
  }
}

/** Starts a child whose output goes to `<logDir>/<name>.log` (appended). */
export async function startChild(options: ChildOptions): Promise<Child> {
  await Deno.mkdir(options.logDir, { recursive: true });
  const logFile = join(options.logDir, `${options.name}.log`);
  const process = new Deno.Command(options.command, {
    args: options.args ?? [],
    ...(options.env ? { env: options.env } : {}),
    ...(options.cwd ? { cwd: options.cwd } : {}),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const copied = Promise.all([
    copyTo(process.stdout, logFile),
    copyTo(process.stderr, logFile),
  ]).then(() => {});
  return new Child(options.name, logFile, process, copied);
}

async function copyTo(stream: ReadableStream<Uint8Array>, path: string): Promise<void> {
  using file = await Deno.open(path, { create: true, append: true });
  for await (const chunk of stream) {
    let left = chunk;
    while (left.length > 0) left = left.subarray(await file.write(left));
  }
}

export interface RunResult {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: Record<string, string>;
  cwd?: string;
  stdin?: string | Uint8Array<ArrayBuffer>;
  timeoutMs?: number;
}

/** Runs a command to its end and gives what it wrote; the exit status is the caller's business. */
export async function run(
  command: string,
  args: string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const child = new Deno.Command(command, {
    args,
    ...(options.env ? { env: options.env } : {}),
    ...(options.cwd ? { cwd: options.cwd } : {}),
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(options.timeoutMs ?? 60_000),
  }).spawn();
  if (options.stdin !== undefined) {
    const writer = child.stdin.getWriter();
    const { stdin } = options;
    // a command may end without reading what it is given: its exit status tells
    await writer.write(typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin)
      .then(() => writer.close()).catch(() => {});
  }
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Runs a command that must succeed and gives its standard output. */
export async function must(
  command: string,
  args: string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, options);
  if (code === 0) return stdout;
  const words = [command, ...args].join(" ").slice(0, 200);
  throw new AppError("internal", `${words}: exit ${code}: ${(stderr || stdout).trim()}`);
}

/** The path of `name` on PATH (and in sbin folders, which a plain user's PATH lacks), if any. */
export async function which(name: string): Promise<string | undefined> {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  for (const folder of [...folders, "/usr/local/sbin", "/usr/sbin", "/sbin"]) {
    if (folder === "") continue;
    const path = join(folder, name);
    const info = await Deno.stat(path).catch(() => undefined);
    if (info?.isFile && ((info.mode ?? 0) & 0o111) !== 0) return path;
  }
  return undefined;
}
