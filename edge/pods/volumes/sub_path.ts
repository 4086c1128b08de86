/**
 * The part of a volume that subPath names. The result, with every symbolic link followed, lies in
 * the volume, or the mount is refused: a container that writes to the volume must not reach the
 * host by a link.
 */
import { AppError } from "../../../shared/errors.ts";
import { safeRelative } from "./paths.ts";

export async function resolveSubPath(volumeRoot: string, subPath: string): Promise<string> {
  const relative = safeRelative(subPath, "subPath");
  const root = await Deno.realPath(volumeRoot);
  let at = root;
  for (const part of relative === "" ? [] : relative.split("/")) {
    at = await step(root, at, part);
  }
  return at;
}

/** One part further: what is there, resolved; else a new folder. Never outside `root`. */
async function step(root: string, at: string, part: string): Promise<string> {
  const next = `${at}/${part}`;
  try {
    await Deno.lstat(next);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    await Deno.mkdir(next, { mode: 0o755 });
    return next;
  }
  const real = await Deno.realPath(next);
  if (real !== root && !real.startsWith(`${root}/`)) {
    throw new AppError("invalid", `subPath leaves its volume at "${part}"`);
  }
  return real;
}
