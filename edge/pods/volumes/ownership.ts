/**
 * Gives the files of a volume to a group, as fsGroup asks: group, group rights as the owner's, and
 * the setgid bit on folders. By kubelet's policies: `Always` walks the volume, `OnRootMismatch`
 * only when its top folder is not the group's yet (a walk ends with the top, so that one cut off is
 * made again).
 *
 * Containers may write to the volume meanwhile. So each file is held by a handle that follows no
 * link, and reached from the handle of its folder: a folder that is swapped for a link leads the
 * walk nowhere. Depth and number of files are bounded.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { AppError } from "../../../shared/errors.ts";

export type ChangePolicy = "Always" | "OnRootMismatch";

/** Handles that are open at once; PATH_MAX lets no path be much deeper that anybody could name. */
const DEPTH_MAX = 256;
const FILES_MAX = 10_000_000;

/** Linux: a handle for a place, not for content; opening it touches no device and no pipe. */
const O_PATH = 0o10000000;
const FOLDER_BITS = 0o2770;
const FILE_BITS = 0o660;

/** What a pod says; kubelet's default where it says nothing. */
export function changePolicy(said: string | undefined): ChangePolicy {
  if (said === undefined || said === "" || said === "Always") return "Always";
  if (said === "OnRootMismatch") return said;
  const message = `fsGroupChangePolicy must be Always or OnRootMismatch, got "${said}"`;
  throw new AppError("invalid", message);
}

export async function giveToGroup(path: string, gid: number, policy: ChangePolicy): Promise<void> {
  // Where the volume lies is the node's owner's to say, by a link, too.
  const top = await open(path, O_PATH | constants.O_DIRECTORY);
  try {
    if (policy === "OnRootMismatch" && await isGiven(top, gid)) return;
    await new Walk(path, gid).below(top, 1);
    await giveOne(top, gid);
  } finally {
    await top.close();
  }
}

class Walk {
  readonly #path: string;
  readonly #gid: number;
  #files = 0;

  constructor(path: string, gid: number) {
    this.#path = path;
    this.#gid = gid;
  }

  async below(folder: FileHandle, depth: number): Promise<void> {
    if (depth > DEPTH_MAX) throw this.#beyond(`${DEPTH_MAX} folders in one another`);
    for await (const { name } of Deno.readDir(pathOf(folder))) {
      if (++this.#files > FILES_MAX) throw this.#beyond(`${FILES_MAX} files`);
      const handle = await openWithin(folder, name);
      if (!handle) continue;
      try {
        const info = await handle.stat();
        if (info.isSymbolicLink()) continue;
        if (info.isDirectory()) await this.below(handle, depth + 1);
        await giveOne(handle, this.#gid);
      } finally {
        await handle.close();
      }
    }
  }

  #beyond(what: string): AppError {
    const message =
      `Cannot give ${this.#path} to group ${this.#gid}: it holds more than ${what}; ` +
      "fsGroupChangePolicy OnRootMismatch leaves alone a volume whose top folder is the group's";
    return new AppError("exhausted", message);
  }
}

/** Undefined when it is gone by now. */
async function openWithin(folder: FileHandle, name: string): Promise<FileHandle | undefined> {
  try {
    return await open(`${pathOf(folder)}/${name}`, O_PATH | constants.O_NOFOLLOW);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** A path that leads to what the handle holds, whatever its names say now. */
function pathOf(handle: FileHandle): string {
  return `/proc/self/fd/${handle.fd}`;
}

async function isGiven(handle: FileHandle, gid: number): Promise<boolean> {
  const info = await handle.stat();
  const bits = info.isDirectory() ? FOLDER_BITS : FILE_BITS;
  return info.gid === gid && (info.mode & bits) === bits;
}

async function giveOne(handle: FileHandle, gid: number): Promise<void> {
  if (await isGiven(handle, gid)) return;
  const info = await handle.stat();
  await Deno.chown(pathOf(handle), null, gid);
  // chown clears bits of executables, so the mode comes after it.
  const bits = info.isDirectory() ? FOLDER_BITS : FILE_BITS;
  await Deno.chmod(pathOf(handle), info.mode & 0o7777 | bits);
}
