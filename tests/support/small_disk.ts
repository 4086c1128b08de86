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
    await Deno.writeTextFile(triggerOf(source), "skerry test");
  }
}

/** What makes an ext4 in `image`, and what mounts it. */
const ext4In = (image: string): [string, string[]] => ["mkfs.ext4", ["-q", "-F", image]];
const mountOf = (image: string, dir: string): [string, string[]] => [
  "mount",
  ["-o", "loop,errors=remount-ro", image, dir],
];

export async function mountExt4(megabytes: number): Promise<LoopDisk> {
  const folder = await Deno.makeTempDir({ prefix: "skerry-disk-" });
  const disk = new ExtDisk(join(folder, "disk"), folder);
  const image = join(folder, "image");
  try {
    await Deno.mkdir(disk.dir);
    await must("truncate", ["-s", `${megabytes}M`, image]);
    await must(...ext4In(image));
    await must(...mountOf(image, disk.dir));
    return disk;
  } catch (error) {
    await Deno.remove(folder, { recursive: true });
    throw error;
  }
}

/**
 * True where an image can be mounted, frozen and made to fail. Found by doing it: a container may
 * have every program and be root, and yet no loop device or a read-only /sys.
 */
export function canMountExt4(): boolean {
  const folder = Deno.makeTempDirSync({ prefix: "skerry-disk-" });
  const [dir, image] = [join(folder, "disk"), join(folder, "image")];
  let isMounted = false;
  try {
    Deno.mkdirSync(dir);
    Deno.createSync(image).close();
    Deno.truncateSync(image, 1024 * 1024);
    ran(...ext4In(image));
    ran(...mountOf(image, dir));
    isMounted = true;
    ran("fsfreeze", ["-u", dir], [0, 1]); // there; it was not frozen
    const source = ran("findmnt", ["-n", "-o", "SOURCE", dir]).trim();
    Deno.openSync(triggerOf(source), { write: true }).close();
    return true;
  } catch {
    return false; // whatever is missing, the tests need it
  } finally {
    if (isMounted) ran("umount", ["-l", dir]);
    Deno.removeSync(folder, { recursive: true });
  }
}

function triggerOf(device: string): string {
  return `/sys/fs/ext4/${device.replace("/dev/", "")}/trigger_fs_error`;
}

/** Output of a program that ends well; waited for in place, as registering a test is. */
function ran(program: string, args: readonly string[], wellCodes: readonly number[] = [0]): string {
  const command = new Deno.Command(program, { args: [...args], stdout: "piped", stderr: "null" });
  const { code, stdout } = command.outputSync();
  if (!wellCodes.includes(code)) throw new Error(`Cannot run ${program}: it ended with ${code}`);
  return new TextDecoder().decode(stdout);
}
