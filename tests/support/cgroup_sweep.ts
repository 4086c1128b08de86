/** Removes cgroups that a test had pods made in. */

/** Removes the empty cgroup `path` with those in it: in each v1 hierarchy, and in that of v2. */
export async function removeCgroup(path: string): Promise<void> {
  const mount = "/sys/fs/cgroup";
  const hierarchies = [...Deno.readDirSync(mount)].filter((each) => each.isDirectory);
  for (const root of [mount, ...hierarchies.map((each) => `${mount}/${each.name}`)]) {
    await removeTree(`${root}${path}`);
  }
}

async function removeTree(dir: string): Promise<void> {
  const stat = await Deno.stat(dir).catch(() => undefined);
  if (!stat) return; // this hierarchy has no such cgroup
  for (const each of [...Deno.readDirSync(dir)]) {
    if (each.isDirectory) await removeTree(`${dir}/${each.name}`);
  }
  await Deno.remove(dir);
}
