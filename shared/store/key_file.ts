/**
 * The key that seals secrets at rest: 32 random bytes in hex, in a file of its own that only its
 * owner reads. Made at the first start; a file that holds no key is kept beside and replaced, which
 * makes what was sealed with it unreadable and stops nothing.
 */
import { AppError } from "../errors.ts";
import { writeFileAtomic } from "../files.ts";
import { roomLogger } from "../log.ts";
import type { Random } from "../random.ts";
import { SEAL_KEY_BYTES } from "./sealing_codec.ts";

const MODE = 0o600;
const log = roomLogger("store");

/** Opens or makes the key file; it is durable before the key is handed out. */
export async function openKeyFile(path: string, random: Random): Promise<Uint8Array> {
  const text = await readIfThere(path);
  if (text !== undefined) {
    const key = parseKey(text);
    if (key) {
      await narrow(path);
      return key;
    }
    log.error("Key file holds no key and is replaced", { path, keptAs: `${path}.damaged` });
    await Deno.rename(path, `${path}.damaged`);
  }
  const key = random.bytes(SEAL_KEY_BYTES);
  const hex = Array.from(key, (byte) => byte.toString(16).padStart(2, "0")).join("");
  await writeFileAtomic(path, `${hex}\n`, MODE);
  return key;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new AppError("unavailable", `Cannot read key file ${path}`, { path }, { cause: error });
  }
}

function parseKey(text: string): Uint8Array | undefined {
  const hex = text.trim();
  if (hex.length !== 2 * SEAL_KEY_BYTES || !/^[0-9a-f]+$/.test(hex)) return undefined;
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** A copy or a restore may have opened it to others. */
async function narrow(path: string): Promise<void> {
  const { mode } = await Deno.stat(path);
  if (mode === null || (mode & 0o077) === 0) return;
  log.warn("Key file was readable by others and is not any more", { path });
  // on a read-only disk it stays as it is, and still is the key
  await Deno.chmod(path, MODE).catch(() => {});
}
