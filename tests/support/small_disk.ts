/**
 * File systems of their own for tests of what a disk does to a program: a tmpfs of a given size,
 * and an ext4 in a file that can be frozen (writes hang) and made to fail (it turns read-only).
 * Need root; disposal unmounts and removes.
 */
import { join } from "@std/path";
import { must, run } from "./process.ts";

export interface SmallDisk extends AsyncDisposable {
  /** Where it is mounted. */
  readonly dir: string;
  /** Takes all the room there is, but for `leaveBytes`; `free` gives it back. */
  fill(leaveBytes?: number): Promise<void>;
  free(): Promise<void>;
}

const FILLER = "filler";

class MountedDisk implements SmallDisk {
  readonly dir: string;
  readonly #folder: string | undefined;

  /** `folder` is removed at the end. */
  constructor(dir: string, folder?: string) {
    this.dir = dir;
    this.#folder = folder;
  }

  async fill(leaveBytes = 0): Promise<void> {
    const block = new Uint8Array(4096);
    const file = await Deno.open(join(this.dir, FILLER), { write: true, create: true });
    try {
      for (;;) await file.write(block);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
      const { size } = await file.stat();
      if (leaveBytes > 0) await file.truncate(Math.max(0, size - leaveBytes));
    } finally {
      file.close();
    }
  }

  async free(): Promise<void> {
    await Deno.remove(join(this.dir, FILLER));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run("umount", ["-l", this.dir]);
    if (this.#folder !== undefined) await Deno.remove(this.#folder, { recursive: true });
  }
}

/** In a folder of its own, or over the folder `at`. */
export async function mountTmpfs(megabytes: number, at?: string): Promise<SmallDisk> {
  const folder = at === undefined ? await Deno.makeTempDir({ prefix: "skerry-disk-" }) : undefined;
  const disk = new MountedDisk(at ?? `${folder}/disk`, folder);
  await Deno.mkdir(disk.dir, { recursive: true });
  await must("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "none", disk.dir]);
  return disk;
}

export interface LoopDisk extends SmallDisk {
  /** Writes hang until `thaw`. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** An error the kernel believes: the file system is read-only from then on. */
  breakDown(): Promise<void>;
}

class ExtDisk extends MountedDisk implements LoopDisk {
  async freeze(): Promise<void> {
    await must("fsfreeze", ["-f", this.dir]);
  }

  async thaw(): Promise<void> {
    await must("fsfreeze", ["-u", this.dir]);
  }

  async breakDown(): Promise<void> {
    const source = (await must("findmnt", ["-n", "-o", "SOURCE", this.dir])).trim();
    const trigger = `/sys/fs/ext4/${source.replace("/dev/", "")}/trigger_fs_error`;
    await Deno.writeTextFile(trigger, "skerry test");
  }
}

/** Undefined where this machine mounts no images. */
export async function mountExt4(megabytes: number): Promise<LoopDisk | undefined> {
  const folder = await Deno.makeTempDir({ prefix: "skerry-disk-" });
  const disk = new ExtDisk(join(folder, "disk"), folder);
  await Deno.mkdir(disk.dir);
  const image = join(folder, "image");
  await must("truncate", ["-s", `${megabytes}M`, image]);
  await must("mkfs.ext4", ["-q", "-F", image]);
  const mounted = await run("mount", ["-o", "loop,errors=remount-ro", image, disk.dir]);
  if (mounted.code === 0) return disk;
  await Deno.remove(folder, { recursive: true });
  return undefined;
}
