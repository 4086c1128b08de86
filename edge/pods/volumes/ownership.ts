/**
 * Gives the files of a volume to a group, as fsGroup asks: group, group rights as the owner's, and
 * the setgid bit on folders. Done when the top folder is not the group's yet, so that a large
 * volume is walked once and not at every start of a container. Links are not followed.
 */
export async function giveToGroup(path: string, gid: number): Promise<void> {
  const top = await Deno.stat(path);
  const hasGroup = top.gid === gid && ((top.mode ?? 0) & 0o2070) === 0o2070;
  if (hasGroup) return;
  await giveBelow(path, gid);
  // The top last: it says that all below is done.
  await giveOne(path, gid, true);
}

async function giveBelow(path: string, gid: number): Promise<void> {
  for await (const entry of Deno.readDir(path)) {
    const inner = `${path}/${entry.name}`;
    if (entry.isSymlink) continue;
    if (entry.isDirectory) await giveBelow(inner, gid);
    await giveOne(inner, gid, entry.isDirectory);
  }
}

async function giveOne(path: string, gid: number, isFolder: boolean): Promise<void> {
  const mode = ((await Deno.lstat(path)).mode ?? 0) & 0o7777;
  await Deno.chown(path, null, gid);
  // chown clears bits of executables, so the mode comes after it.
  await Deno.chmod(path, mode | (isFolder ? 0o2770 : 0o660));
}
