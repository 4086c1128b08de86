/** Damage as a bad disk does it. */
import { join } from "@std/path";

/** Where the first record of a journal lies: behind the segment's header and the record's own. */
const FIRST_RECORD_BYTE = 64 + 40;

/**
 * Flips a byte in every journal (in its first record, or at `journalShare` of its used bytes) and
 * in the middle of every snapshot of a store; returns the files.
 */
export async function flipBytes(store: string, journalShare = 0): Promise<string[]> {
  const damaged: string[] = [];
  for await (const { name } of Deno.readDir(store)) {
    if (!/^(journal|snapshot)-/.test(name)) continue;
    const path = join(store, name);
    const bytes = await Deno.readFile(path);
    const used = bytes.findLastIndex((byte) => byte !== 0);
    const at = name.startsWith("snapshot")
      ? Math.floor(bytes.length / 2)
      : Math.max(FIRST_RECORD_BYTE, Math.floor(used * journalShare));
    bytes[at] = (bytes[at] ?? 0) ^ 0xff;
    await Deno.writeFile(path, bytes);
    damaged.push(path);
  }
  return damaged;
}
