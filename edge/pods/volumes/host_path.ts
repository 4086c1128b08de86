/** hostPath volumes: the path is of the kind the pod asks for, and made where it may be. */
import { AppError } from "../../../shared/errors.ts";

const CHECKS: Record<string, { is: (info: Deno.FileInfo) => boolean; words: string }> = {
  Directory: { is: (i) => i.isDirectory, words: "a directory" },
  DirectoryOrCreate: { is: (i) => i.isDirectory, words: "a directory" },
  File: { is: (i) => i.isFile, words: "a file" },
  FileOrCreate: { is: (i) => i.isFile, words: "a file" },
  Socket: { is: (i) => i.isSocket === true, words: "a socket file" },
  CharDevice: { is: (i) => i.isCharDevice === true, words: "a character device" },
  BlockDevice: { is: (i) => i.isBlockDevice === true, words: "a block device" },
};

export async function prepareHostPath(path: string, type: string): Promise<void> {
  if (!path.startsWith("/") || path.split("/").includes("..")) {
    throw new AppError("invalid", `hostPath must be an absolute path without "..", got "${path}"`);
  }
  if (type === "") return;
  const check = CHECKS[type];
  if (!check) throw new AppError("invalid", `hostPath type ${type} is not known`);
  if (type === "DirectoryOrCreate") await Deno.mkdir(path, { recursive: true, mode: 0o755 });
  if (type === "FileOrCreate") await createFile(path);
  const info = await statOrNothing(path);
  if (!info || !check.is(info)) {
    throw new AppError("invalid", `hostPath type check failed: ${path} is not ${check.words}`);
  }
}

async function createFile(path: string): Promise<void> {
  try {
    const file = await Deno.open(path, { createNew: true, write: true, mode: 0o644 });
    file.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

async function statOrNothing(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
