/** Small files that must be whole or absent: written beside, synced, renamed. */
import { dirname } from "@std/path";

export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  mode: number,
): Promise<void> {
  const temporary = `${path}.tmp`;
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const file = await Deno.open(temporary, { write: true, create: true, truncate: true, mode });
  try {
    const writer = file.writable.getWriter();
    await writer.write(bytes);
    writer.releaseLock();
    await Deno.chmod(temporary, mode);
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
