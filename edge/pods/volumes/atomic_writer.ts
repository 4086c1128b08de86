/**
 * Writes a set of files so that a reader sees all of the old or all of the new: they lie in a fresh
 * folder, `..data` is a symbolic link to it, swapped by rename, and each visible name is a link
 * through `..data`. What Kubernetes does, so programs that watch `..data` work unchanged.
 */
import type { Payload } from "./payload.ts";

const DATA = "..data";

export interface WriteOptions {
  /** Group of the files (fsGroup). */
  gid?: number;
}

/** Returns false when the files already are as wanted. */
export async function writeAtomically(
  dir: string,
  payload: Payload,
  options: WriteOptions = {},
): Promise<boolean> {
  const before = await currentFolder(dir);
  if (before !== undefined && await isSame(`${dir}/${before}`, payload)) {
    await linkVisible(dir, payload); // a crash may have come between the swap and the links
    return false;
  }
  const fresh = await Deno.makeTempDir({ dir, prefix: ".." });
  await Deno.chmod(fresh, 0o755);
  for (const [path, file] of payload) await writeOne(`${fresh}/${path}`, file, options);
  await removeIfThere(`${dir}/${DATA}_tmp`);
  await Deno.symlink(fresh.slice(fresh.lastIndexOf("/") + 1), `${dir}/${DATA}_tmp`);
  await Deno.rename(`${dir}/${DATA}_tmp`, `${dir}/${DATA}`);
  await linkVisible(dir, payload);
  await removeStale(dir, payload, fresh.slice(fresh.lastIndexOf("/") + 1));
  return true;
}

async function currentFolder(dir: string): Promise<string | undefined> {
  try {
    return await Deno.readLink(`${dir}/${DATA}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function writeOne(
  path: string,
  file: { bytes: Uint8Array; mode: number },
  { gid }: WriteOptions,
): Promise<void> {
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true, mode: 0o755 });
  await Deno.writeFile(path, file.bytes, { mode: 0o600 });
  if (gid !== undefined) await Deno.chown(path, null, gid);
  await Deno.chmod(path, gid === undefined ? file.mode : file.mode | 0o440);
}

async function isSame(folder: string, payload: Payload): Promise<boolean> {
  const found = await filesBelow(folder, "");
  if (found.length !== payload.size) return false;
  for (const path of found) {
    const wanted = payload.get(path);
    if (!wanted) return false;
    const bytes = await Deno.readFile(`${folder}/${path}`);
    if (bytes.length !== wanted.bytes.length) return false;
    if (!bytes.every((byte, i) => byte === wanted.bytes[i])) return false;
  }
  return true;
}

async function filesBelow(folder: string, prefix: string): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const entry of Deno.readDir(`${folder}/${prefix}`)) {
      if (entry.isDirectory) found.push(...await filesBelow(folder, `${prefix}${entry.name}/`));
      else found.push(`${prefix}${entry.name}`);
    }
  } catch (error) {
    // A link to a folder that is not there: a torn write; it is written anew.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found;
}

function visibleNames(payload: Payload): Set<string> {
  return new Set(Array.from(payload.keys(), (path) => path.split("/")[0]!));
}

async function linkVisible(dir: string, payload: Payload): Promise<void> {
  for (const name of visibleNames(payload)) {
    try {
      await Deno.symlink(`${DATA}/${name}`, `${dir}/${name}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }
}

async function removeStale(dir: string, payload: Payload, current: string): Promise<void> {
  const keep = visibleNames(payload).add(DATA).add(current);
  for await (const entry of Deno.readDir(dir)) {
    if (!keep.has(entry.name)) await removeIfThere(`${dir}/${entry.name}`);
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
