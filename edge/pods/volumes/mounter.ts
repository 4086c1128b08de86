/**
 * Mounts, by the system's mount(8): tmpfs for what belongs in memory, NFS, and binds of a part of a
 * volume. Each call has a bound of its own: a server that does not answer holds up its own pod.
 */
import { AppError } from "../../../shared/errors.ts";
import { parseMounts, showsPartOf } from "./mount_table.ts";

export interface NfsExport {
  server: string;
  path: string;
  readOnly: boolean;
  options: readonly string[];
}

export interface Mounter {
  /** Mounts a tmpfs at an existing folder, once. `sizeBytes` 0: the kernel's own limit. */
  mountTmpfs(path: string, sizeBytes: number): Promise<void>;
  /** Mounts an export at an existing folder, once. */
  mountNfs(source: NfsExport, path: string): Promise<void>;
  /**
   * Shows `source` at `target`, made anew; true when what is shown lies in the folder `volume`,
   * else nothing is mounted. Undefined where nothing can be mounted at all.
   */
  bindWithin(volume: string, source: string, target: string): Promise<boolean | undefined>;
  /** Unmounts everything at or below `path`; rejects when something stays. */
  unmountBelow(path: string): Promise<void>;
}

const MOUNT_MS = 60_000;
const UNMOUNT_MS = 15_000;

export class SystemMounter implements Mounter {
  async mountTmpfs(path: string, sizeBytes: number): Promise<void> {
    if ((await mountPoints()).includes(path)) return;
    const options = sizeBytes > 0 ? `mode=0777,size=${sizeBytes}` : "mode=0777";
    await run("mount", ["-t", "tmpfs", "-o", options, "tmpfs", path]);
  }

  async mountNfs(source: NfsExport, path: string): Promise<void> {
    const args = nfsArguments(source, path);
    if ((await mountPoints()).includes(path)) return;
    await run("mount", args, MOUNT_MS);
  }

  async bindWithin(volume: string, source: string, target: string): Promise<boolean> {
    await this.unmountBelow(target);
    const info = await Deno.stat(source);
    await Deno.mkdir(target.slice(0, target.lastIndexOf("/")), { recursive: true, mode: 0o750 });
    await makePoint(target, info.isDirectory);
    await run("mount", ["--bind", source, target]);
    // The kernel says where the path has led: links that were swapped meanwhile change nothing now.
    const mounts = parseMounts(await Deno.readTextFile("/proc/self/mountinfo"));
    if (showsPartOf(mounts, volume, target)) return true;
    await run("umount", [target]);
    return false;
  }

  async unmountBelow(path: string): Promise<void> {
    // The last mounted first: a mount may lie inside another.
    for (const point of (await pointsBelow(path)).reverse()) {
      try {
        await run("umount", [point], UNMOUNT_MS);
      } catch {
        // busy, or its server is away: out of sight at once, gone when nothing uses it
        await run("umount", ["-l", point], UNMOUNT_MS);
      }
    }
    const [left] = await pointsBelow(path);
    if (left !== undefined) throw new AppError("unavailable", `Cannot unmount ${left}: it stays`);
  }
}

/** The words after `mount`; AppError "invalid" for a source that is none. */
export function nfsArguments(source: NfsExport, path: string): string[] {
  const { server, path: exported, readOnly, options } = source;
  if (!/^[A-Za-z0-9][A-Za-z0-9.:_-]*$/.test(server)) {
    throw new AppError("invalid", `nfs server must be a host name or address, got "${server}"`);
  }
  if (!exported.startsWith("/") || exported.split("/").includes("..")) {
    throw new AppError("invalid", `nfs path must be absolute without "..", got "${exported}"`);
  }
  const odd = options.find((option) => !/^[A-Za-z0-9_.:=-]+$/.test(option));
  if (odd !== undefined) throw new AppError("invalid", `mount option is not one: "${odd}"`);
  const host = server.includes(":") ? `[${server}]` : server;
  const all = [...options, ...(readOnly ? ["ro"] : [])];
  const words = all.length > 0 ? ["-o", all.join(",")] : [];
  return ["-t", "nfs", ...words, `${host}:${exported}`, path];
}

/** Mounts nothing: where that is not allowed, and in tests. */
export class NoMounter implements Mounter {
  mountTmpfs(path: string): Promise<void> {
    return Promise.reject(
      new AppError("unimplemented", `Cannot mount a tmpfs at ${path}: turned off`),
    );
  }

  mountNfs(_source: NfsExport, path: string): Promise<void> {
    return Promise.reject(
      new AppError("unimplemented", `Cannot mount NFS at ${path}: turned off`),
    );
  }

  bindWithin(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  unmountBelow(): Promise<void> {
    return Promise.resolve();
  }
}

/** What a bind is mounted on: of the same kind as what is shown. */
async function makePoint(path: string, isFolder: boolean): Promise<void> {
  const there = await Deno.lstat(path).catch(() => undefined); // absent: made below
  if (there && there.isDirectory !== isFolder) await Deno.remove(path);
  if (isFolder) await Deno.mkdir(path, { recursive: true, mode: 0o750 });
  else await Deno.writeFile(path, new Uint8Array(), { mode: 0o640 });
}

async function pointsBelow(path: string): Promise<string[]> {
  return (await mountPoints()).filter((point) => point === path || point.startsWith(`${path}/`));
}

async function mountPoints(): Promise<string[]> {
  return parseMounts(await Deno.readTextFile("/proc/self/mountinfo")).map(({ point }) => point);
}

async function run(command: string, args: string[], timeoutMs = MOUNT_MS): Promise<void> {
  const signal = AbortSignal.timeout(timeoutMs);
  const child = new Deno.Command(command, { args, stdin: "null", signal });
  const { success, stderr } = await child.output();
  if (success) return;
  const text = signal.aborted
    ? `no end within ${timeoutMs / 1_000} s`
    : new TextDecoder().decode(stderr).trim();
  throw new AppError("internal", `Cannot ${command} ${args.at(-1)}: ${text}`);
}
