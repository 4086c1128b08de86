/**
 * What a site's pods leave on the machine outside its folder when they end by force: their cgroups;
 * and inside it: tmpfs volumes. The first are found by the ids of the site's own containers, the
 * others by the folder.
 */
import { dirname, join } from "@std/path";
import { mountsBelow } from "./containerd_sweep.ts";
import { run } from "./process.ts";

const CGROUP_ROOT = "/sys/fs/cgroup";
/** Deepest first: emptied classes go too, unless somebody else's pods use them. */
const CLASSES = ["kubepods/burstable", "kubepods/besteffort", "kubepods"];

export async function unmountAll(dir: string): Promise<void> {
  for (const path of mountsBelow(await Deno.readTextFile("/proc/self/mountinfo"), dir)) {
    await run("umount", ["-l", path]);
  }
}

/** The cgroups of the pods that hold one of `containers`, in every hierarchy. */
export async function podCgroups(containers: readonly string[]): Promise<string[]> {
  const found = new Set<string>();
  for (const root of await hierarchies()) {
    for (const parent of CLASSES) {
      for (const pod of await subfolders(join(root, parent))) {
        const inside = await subfolders(pod);
        if (inside.some((path) => containers.some((id) => path.endsWith(id)))) found.add(pod);
      }
    }
  }
  return [...found];
}

/** Removes cgroups that hold no process any more, and the classes they leave empty. */
export async function removeCgroups(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    await removeTree(path);
    const parent = dirname(path);
    await removeFolder(parent);
    if (dirname(parent).endsWith("/kubepods")) await removeFolder(dirname(parent));
  }
}

/** Removes the empty cgroup `path` ("/name") with those in it, in every hierarchy. */
export async function removeCgroup(path: string): Promise<void> {
  for (const root of await hierarchies()) await removeTree(root + path);
}

/** The unified hierarchy, or each controller's of version 1. */
async function hierarchies(): Promise<string[]> {
  return [CGROUP_ROOT, ...await subfolders(CGROUP_ROOT)];
}

async function subfolders(path: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(path)).catch(() => []);
  return entries.filter((entry) => entry.isDirectory).map((entry) => join(path, entry.name));
}

async function removeTree(path: string): Promise<void> {
  for (const inner of await subfolders(path)) await removeTree(inner);
  await removeFolder(path);
}

async function removeFolder(path: string): Promise<void> {
  await Deno.remove(path).catch(() => {}); // absent, or in use by somebody else's pods
}

/** Processes of this machine whose command line names `dir`, but for this one. */
export async function processesNaming(dir: string): Promise<number[]> {
  const found: number[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === Deno.pid) continue;
    const command = await Deno.readTextFile(`/proc/${pid}/cmdline`).catch(() => "");
    const words = command.split("\0");
    if (words.some((word) => word === dir || word.includes(`${dir}/`))) found.push(pid);
  }
  return found;
}

/** What of a site is still on the machine, one line each; empty after a clean end. */
export async function leftovers(dir: string, bridge: string | undefined): Promise<string[]> {
  const found = (await processesNaming(dir)).map((pid) => `process ${pid}`);
  const mounts = mountsBelow(await Deno.readTextFile("/proc/self/mountinfo"), dir);
  found.push(...mounts.map((path) => `mount ${path}`));
  if (bridge && (await run("ip", ["link", "show", bridge])).code === 0) {
    found.push(`bridge ${bridge}`);
  }
  if (await Deno.stat(dir).catch(() => undefined)) found.push(`folder ${dir}`);
  return found;
}
