/** tmpfs for secrets and memory-backed volumes, by the system's mount(8). */
import { AppError } from "../../../shared/errors.ts";

export interface Mounter {
  /** Mounts a tmpfs at an existing folder, once. `sizeBytes` 0: the kernel's own limit. */
  mountTmpfs(path: string, sizeBytes: number): Promise<void>;
  /** Unmounts everything at or below `path`. */
  unmountBelow(path: string): Promise<void>;
}

export class SystemMounter implements Mounter {
  async mountTmpfs(path: string, sizeBytes: number): Promise<void> {
    if ((await mountPoints()).includes(path)) return;
    const options = sizeBytes > 0 ? `mode=0777,size=${sizeBytes}` : "mode=0777";
    await run("mount", ["-t", "tmpfs", "-o", options, "tmpfs", path]);
  }

  async unmountBelow(path: string): Promise<void> {
    const points = await mountPoints();
    const below = points.filter((point) => point === path || point.startsWith(`${path}/`));
    // The last mounted first: a mount may lie inside another.
    for (const point of below.reverse()) await run("umount", [point]);
  }
}

/** Mounts nothing: where that is not allowed, and in tests. */
export class NoMounter implements Mounter {
  mountTmpfs(path: string): Promise<void> {
    return Promise.reject(
      new AppError("unimplemented", `Cannot mount a tmpfs at ${path}: turned off`),
    );
  }

  unmountBelow(): Promise<void> {
    return Promise.resolve();
  }
}

async function mountPoints(): Promise<string[]> {
  const text = await Deno.readTextFile("/proc/self/mountinfo");
  return text.split("\n").flatMap((line) => {
    const point = line.split(" ")[4];
    const unescape = (octal: string) => String.fromCharCode(parseInt(octal.slice(1), 8));
    return point ? [point.replace(/\\[0-7]{3}/g, unescape)] : [];
  });
}

async function run(command: string, args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args, stdin: "null" }).output();
  if (success) return;
  const text = new TextDecoder().decode(stderr).trim();
  throw new AppError("internal", `Cannot ${command} ${args.at(-1)}: ${text}`);
}
