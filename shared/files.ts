/** Small files that must be whole or absent: written beside, synced, renamed. */
import { dirname } from "@std/path";

export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  mode: number,
): Promise<void> {
  const temporary = `${path}.tmp`;
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  await Deno.writeFile(temporary, bytes, { mode });
  await Deno.chmod(temporary, mode); // the mode above is cut by the umask
  const file = await Deno.open(temporary, { write: true });
  try {
    await file.sync();
  } finally {
    file.close();
  }
  await Deno.rename(temporary, path);
  await syncFolder(dirname(path));
}

/** Makes renames and creations in `folder` survive a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await Deno.open(folder);
  try {
    await handle.sync();
  } finally {
    handle.close();
  }
}
