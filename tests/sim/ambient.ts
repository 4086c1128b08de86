/**
 * What rooms take from the platform without a port is replaced for as long as a world runs: small
 * files, digests (which otherwise run on a thread pool) and time-outs of clean-up. Everything else
 * ambient would make two runs differ; the test that compares their hashes is what finds it.
 */
import { createHash } from "node:crypto";
import type { VirtualTime } from "../../shared/testing/virtual_time.ts";
import type { MemoryFiles } from "./memory_files.ts";

type Patch = () => void;

/** Replaces; what it returns puts everything back. */
export function replaceAmbient(files: MemoryFiles, time: VirtualTime): Patch {
  const undo = [
    ...patchFiles(files),
    patch(crypto.subtle, "digest", (algorithm: unknown, data: BufferSource) => {
      if (algorithm !== "SHA-256") throw new Error(`Digest ${String(algorithm)} is not simulated`);
      const bytes = ArrayBuffer.isView(data)
        ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
        : new Uint8Array(data);
      const hash = createHash("sha256").update(bytes).digest();
      return Promise.resolve(new Uint8Array(hash).buffer);
    }),
    patch(AbortSignal, "timeout", (ms: number) => {
      const abort = new AbortController();
      time.schedule("timeouts", ms, () => {
        abort.abort(new DOMException("Signal timed out.", "TimeoutError"));
      });
      return abort.signal;
    }),
  ];
  return () => {
    for (const each of undo.reverse()) each();
  };
}

function patchFiles(files: MemoryFiles): Patch[] {
  type Path = string | URL;
  const at = (path: Path) => inside(files, path);
  const done = <T>(work: () => T): Promise<T> => Promise.try(work);
  const acts = {
    mkdir: (path: Path, options?: Deno.MkdirOptions) => done(() => files.mkdir(at(path), options)),
    readDir: (path: Path) => listing(() => files.readDir(at(path))),
    writeFile: (path: Path, bytes: Uint8Array, options?: Deno.WriteFileOptions) =>
      done(() => files.writeFile(at(path), bytes, options?.mode)),
    writeTextFile: (path: Path, text: string, options?: Deno.WriteFileOptions) =>
      done(() => files.writeTextFile(at(path), text, options?.mode)),
    // outside the world only the WASM is read, each time a store opens
    readFile: (path: Path) =>
      done(() => files.holds(path) ? files.readFile(path) : Deno.readFileSync(path)),
    readTextFile: (path: Path) => done(() => files.readTextFile(at(path))),
    chmod: (path: Path, mode: number) => done(() => files.chmod(at(path), mode)),
    chown: (path: Path) => done(() => void at(path)),
    readLink: (path: Path) => done(() => files.readLink(at(path))),
    rename: (path: Path, to: Path) => done(() => files.rename(at(path), at(to))),
    remove: (path: Path, options?: Deno.RemoveOptions) =>
      done(() => files.remove(at(path), options?.recursive)),
    lstat: (path: Path) => done(() => files.stat(at(path), false)),
    stat: (path: Path) => done(() => files.stat(at(path), true)),
    open: (path: Path) => done(() => files.open(at(path))),
    openSync: (path: Path) => files.openLog(at(path)),
    symlink: (target: Path, path: Path) => done(() => files.symlink(String(target), at(path))),
    makeTempDir: ({ dir = "", prefix = "" }: Deno.MakeTempOptions = {}) =>
      done(() => files.makeTempDir(at(dir), prefix)),
    realPath: (path: Path) => done(() => at(path)),
  };
  return Object.entries(acts).map(([name, act]) => patch(Deno, name, act));
}

/** There is no path outside the world: whoever names one has a port missing. */
function inside(files: MemoryFiles, path: string | URL): string {
  if (files.holds(path)) return path;
  throw new Error(`${String(path)} is outside the simulated world`);
}

async function* listing(read: () => Deno.DirEntry[]): AsyncGenerator<Deno.DirEntry> {
  await Promise.resolve();
  yield* read();
}

function patch(owner: object, name: string, value: unknown): Patch {
  const before = Object.getOwnPropertyDescriptor(owner, name);
  Object.defineProperty(owner, name, { value, configurable: true, writable: true });
  return () => {
    if (before) Object.defineProperty(owner, name, before);
    else Reflect.deleteProperty(owner, name);
  };
}
