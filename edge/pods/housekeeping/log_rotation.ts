/**
 * Rotation of container logs, as kubelet does it: a log that has grown too large is renamed to
 * `<log>.<YYYYMMDD-hhmmss>` and the runtime told to open a new one; of the renamed ones only the
 * newest stays as it is, older ones are gzipped, and no more are kept than the bound allows. May be
 * killed at any await: what is half done (`.tmp`) is taken away by the next round.
 */
import type { Clock } from "../../../shared/clock.ts";
import { errorChain, isAppError } from "../../../shared/errors.ts";
import { roomLogger } from "../../../shared/log.ts";
import type { ContainerRuntime } from "../../cri/port.ts";

export interface LogLimits {
  /** A log of this size or more is rotated. */
  bytesMax: number;
  /** Files kept for one run of a container, the current one among them; at least 2. */
  filesMax: number;
}

export interface RunningLog {
  containerId: string;
  path: string;
}

export class LogRotation {
  readonly #runtime: ContainerRuntime;
  readonly #clock: Clock;
  readonly #limits: LogLimits;
  readonly #log = roomLogger("edge", "pods", "logs");

  constructor(runtime: ContainerRuntime, clock: Clock, limits: LogLimits) {
    this.#runtime = runtime;
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Looks at every log once; one that cannot be rotated harms no other. */
  async rotateAll(logs: readonly RunningLog[], signal: AbortSignal): Promise<void> {
    for (const log of logs) {
      signal.throwIfAborted();
      try {
        await this.#look(log, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (isAppError(error, "unavailable")) return;
        this.#log.warn("Cannot rotate log", { path: log.path, error: errorChain(error) });
      }
    }
  }

  async #look(log: RunningLog, signal: AbortSignal): Promise<void> {
    const bytes = await sizeOf(log.path);
    // Someone took the file away: what is written now goes nowhere.
    if (bytes === undefined) return await this.#reopen(log, signal);
    if (bytes >= this.#limits.bytesMax) await this.#rotate(log, signal);
  }

  async #rotate(log: RunningLog, signal: AbortSignal): Promise<void> {
    const { rotated, remove } = planRotated(await siblings(log.path), this.#limits.filesMax);
    for (const path of remove) await removeFile(path);
    for (const path of rotated) if (!path.endsWith(".gz")) await compress(path);
    const aside = await this.#freeName(log.path);
    await Deno.rename(log.path, aside);
    try {
      await this.#reopen(log, signal);
    } catch (error) {
      // The runtime still writes to the renamed file: it gets its name back.
      await Deno.rename(aside, log.path);
      throw error;
    }
  }

  async #reopen(log: RunningLog, signal: AbortSignal): Promise<void> {
    try {
      await this.#runtime.reopenContainerLog(log.containerId, signal);
    } catch (error) {
      // It has just ended; its log is whole as it is.
      if (!isAppError(error, "not_found")) throw error;
    }
  }

  /** A name no other rotated file has, though the wall clock may stand still or go back. */
  async #freeName(path: string): Promise<string> {
    const taken = await siblings(path);
    for (let atMs = this.#clock.nowMs();; atMs += 1000) {
      const name = `${path}.${rotationStamp(atMs)}`;
      if (!taken.includes(name) && !taken.includes(`${name}.gz`)) return name;
    }
  }
}

/** "20260102-030405" */
export function rotationStamp(atMs: number): string {
  const [date = "", time = ""] = new Date(atMs).toISOString().split(/[T.]/);
  return `${date.replaceAll("-", "")}-${time.replaceAll(":", "")}`;
}

/**
 * Which rotated files stay, oldest first, before the current log joins them, and which go: what is
 * half written, what is there twice, and the oldest beyond the bound. Pure.
 */
export function planRotated(
  files: readonly string[],
  filesMax: number,
): { rotated: string[]; remove: string[] } {
  const whole = files.filter((f) => !f.endsWith(".tmp"));
  const doubles = whole.filter((f) => whole.includes(`${f}.gz`));
  const kept = whole.filter((f) => !doubles.includes(f))
    .sort((a, b) => a.replace(/\.gz$/, "").localeCompare(b.replace(/\.gz$/, "")));
  // Room for the one about to be renamed, and for the new current one.
  const surplus = Math.max(0, kept.length - Math.max(0, filesMax - 2));
  const halves = files.filter((f) => f.endsWith(".tmp"));
  return {
    rotated: kept.slice(surplus),
    remove: [...halves, ...doubles, ...kept.slice(0, surplus)],
  };
}

/** Rotated files of a log, by full path. */
export async function siblings(path: string): Promise<string[]> {
  const folder = path.slice(0, path.lastIndexOf("/"));
  const prefix = `${path.slice(path.lastIndexOf("/") + 1)}.`;
  const found: string[] = [];
  try {
    for await (const { name, isFile } of Deno.readDir(folder)) {
      if (isFile && name.startsWith(prefix)) found.push(`${folder}/${name}`);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort();
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await Deno.stat(path)).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function compress(path: string): Promise<void> {
  const half = `${path}.tmp`;
  const source = await Deno.open(path);
  const target = await Deno.open(half, { write: true, create: true, truncate: true, mode: 0o640 });
  // Both files are closed by the streams they become.
  await source.readable.pipeThrough(new CompressionStream("gzip")).pipeTo(target.writable);
  await Deno.rename(half, `${path}.gz`);
  await removeFile(path);
}

async function removeFile(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
