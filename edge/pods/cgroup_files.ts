/**
 * Pod cgroups on disk. The runtime makes them on the way to its containers' own and leaves them
 * behind, so whoever names the parent removes it, as kubelet does.
 */
import { cgroupParents } from "./cgroup.ts";

/** Removes a pod's empty cgroups in every hierarchy below `root`. Absent is done. */
export async function removePodCgroups(root: string, uid: string): Promise<void> {
  const parents = cgroupParents(uid);
  for (const hierarchy of await hierarchies(root)) {
    for (const parent of parents) await removeTree(`${hierarchy}${parent}`);
  }
}

async function hierarchies(root: string): Promise<string[]> {
  const found = [root];
  try {
    for await (const entry of Deno.readDir(root)) {
      if (entry.isDirectory) found.push(`${root}/${entry.name}`);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found;
}

async function removeTree(dir: string): Promise<void> {
  try {
    for await (const entry of Deno.readDir(dir)) {
      if (entry.isDirectory) await removeTree(`${dir}/${entry.name}`);
    }
    await Deno.remove(dir);
  } catch {
    // Not there, or a process is still leaving it. An empty cgroup does no harm, and the pod's end
    // must not wait for it.
  }
}
