/**
 * The links `/var/log/containers/<pod>_<namespace>_<container>-<id>.log` that log collectors know,
 * to the files below the pod logs. A link that cannot be made stops nothing; a sweep makes what is
 * missing and takes away what points nowhere. Links to other places are never touched.
 */
import { errorChain } from "../../../shared/errors.ts";
import { roomLogger } from "../../../shared/log.ts";

export interface LinkedLog {
  podName: string;
  namespace: string;
  container: string;
  containerId: string;
  path: string;
}

const NAME_BYTES_MAX = 255;
const SUFFIX = ".log";

export function linkName(log: Omit<LinkedLog, "path">): string {
  const name = `${log.podName}_${log.namespace}_${log.container}-${log.containerId}`;
  return `${name.slice(0, NAME_BYTES_MAX - SUFFIX.length)}${SUFFIX}`;
}

export class LogLinks {
  /** "" when no links are wanted. */
  readonly #dir: string;
  readonly #podLogsDir: string;
  readonly #log = roomLogger("edge", "pods", "logs");

  constructor(dir: string, podLogsDir: string) {
    this.#dir = dir;
    this.#podLogsDir = podLogsDir;
  }

  async sweep(logs: readonly LinkedLog[]): Promise<void> {
    if (this.#dir === "") return;
    try {
      await Deno.mkdir(this.#dir, { recursive: true, mode: 0o755 });
      await this.#removeDead();
      for (const log of logs) await this.#put(log);
    } catch (error) {
      this.#log.warn("Cannot keep log links", { dir: this.#dir, error: errorChain(error) });
    }
  }

  /** For a container that has just been started. */
  async put(log: LinkedLog): Promise<void> {
    if (this.#dir === "") return;
    try {
      await Deno.mkdir(this.#dir, { recursive: true, mode: 0o755 });
      await this.#put(log);
    } catch (error) {
      this.#log.warn("Cannot link log", { path: log.path, error: errorChain(error) });
    }
  }

  async #put(log: LinkedLog): Promise<void> {
    const path = `${this.#dir}/${linkName(log)}`;
    try {
      await Deno.symlink(log.path, path);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }

  async #removeDead(): Promise<void> {
    for await (const { name, isSymlink } of Deno.readDir(this.#dir)) {
      if (!isSymlink || !name.endsWith(SUFFIX)) continue;
      const path = `${this.#dir}/${name}`;
      const target = await Deno.readLink(path);
      if (!target.startsWith(`${this.#podLogsDir}/`) || await exists(target)) continue;
      await Deno.remove(path);
    }
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
