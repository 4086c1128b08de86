/** The kernel's list of mounts (/proc/self/mountinfo), and what it says of a bind mount. Pure. */

export interface MountEntry {
  /** "major:minor" of the file system. */
  device: string;
  /** The folder of the file system that is shown. */
  root: string;
  /** Where it is shown. */
  point: string;
}

export function parseMounts(mountinfo: string): MountEntry[] {
  return mountinfo.split("\n").flatMap((line) => {
    const [, , device, root, point] = line.split(" ");
    return device && root && point ? [{ device, root: plain(root), point: plain(point) }] : [];
  });
}

/**
 * True when what is mounted at `target` lies in the volume at `folder` (with every link followed):
 * in its file system below its place there, or on a file system that is mounted below it.
 */
export function showsPartOf(
  mounts: readonly MountEntry[],
  folder: string,
  target: string,
): boolean {
  const landed = mounts.findLast(({ point }) => point === target);
  const holder = mounts.filter(({ point }) => isBelow(folder, point) && point !== target)
    // the longest, and of equals the last, covers the others
    .reduce<MountEntry | undefined>(
      (best, one) => best && best.point.length > one.point.length ? best : one,
      undefined,
    );
  if (!landed || !holder) return false;
  const place = join(holder.root, folder.slice(holder.point === "/" ? 0 : holder.point.length));
  const allowed = [
    { device: holder.device, root: place },
    ...mounts.filter(({ point }) => point !== folder && isBelow(point, folder)),
  ];
  return allowed.some(({ device, root }) => device === landed.device && isBelow(landed.root, root));
}

function isBelow(path: string, folder: string): boolean {
  return path === folder || folder === "/" || path.startsWith(`${folder}/`);
}

function join(root: string, rest: string): string {
  return root === "/" ? rest || "/" : root + rest;
}

function plain(text: string): string {
  return text.replace(/\\[0-7]{3}/g, (octal) => String.fromCharCode(parseInt(octal.slice(1), 8)));
}
