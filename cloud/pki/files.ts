/** Small files that must be whole or absent after a power cut: written beside, synced, renamed. */
import { dirname } from "@std/path";
import { AppError } from "../../shared/errors.ts";
import { syncFolder } from "../../shared/files.ts";
import type { Random } from "../../shared/random.ts";

/** Keys and hashes of secrets: for the owner alone. */
export const SECRET_MODE = 0o600;
const SECRET_DIR_MODE = 0o700;

export async function makeSecretDir(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true, mode: SECRET_DIR_MODE });
  } catch (cause) {
    throw fileError("make folder", path, cause);
  }
}

/** The file's text, or undefined when it is not there. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw fileError("read", path, cause);
  }
}

/** Replaces `path` in one step; durable when it resolves. */
export async function replaceFile(path: string, text: string, random: Random): Promise<void> {
  await writeThen(path, text, random, (temporary) => Deno.rename(temporary, path));
}

/** Makes `path`; false, and nothing changed, when it is already there. */
export async function createFile(path: string, text: string, random: Random): Promise<boolean> {
  let made = true;
  await writeThen(path, text, random, async (temporary) => {
    try {
      await Deno.link(temporary, path);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      made = false;
    }
    await Deno.remove(temporary);
  });
  return made;
}

async function writeThen(
  path: string,
  text: string,
  random: Random,
  publish: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = `${path}.${random.uuid()}.tmp`;
  try {
    await writeSynced(temporary, text);
    await publish(temporary);
    await syncFolder(dirname(path));
  } catch (cause) {
    // what is left of it means nothing and has a name no reader looks for
    await Deno.remove(temporary).catch(() => {});
    throw fileError("write", path, cause);
  }
}

async function writeSynced(path: string, text: string): Promise<void> {
  // not `using`: the bundler's minifier loses it
  const file = await Deno.open(path, { write: true, createNew: true, mode: SECRET_MODE });
  try {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    await file.sync();
  } finally {
    file.close();
  }
}

export function fileError(action: string, path: string, cause: unknown): AppError {
  return new AppError("unavailable", `Cannot ${action} ${path}`, { path }, { cause });
}
