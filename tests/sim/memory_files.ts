/**
 * Folders and small files in memory, behind the part of Deno's file API that the rooms use for pod
 * volumes, log folders and papers. Everything is done at once, so that its order never depends on a
 * thread pool. No permissions, no mounts: those are for tests on a real machine.
 */
const ROOT_MODE = 0o755;

type Entry =
  | { kind: "dir"; mode: number }
  | { kind: "file"; mode: number; bytes: Uint8Array<ArrayBuffer> }
  | { kind: "link"; mode: number; target: string };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class MemoryFiles {
  readonly #root: string;
  #temporary = 0;
  readonly #entries = new Map<string, Entry>();

  /** Holds what lies at or below `root`. */
  constructor(root: string) {
    this.#root = root;
    this.#entries.set(root, { kind: "dir", mode: ROOT_MODE });
  }

  holds(path: string | URL): path is string {
    return typeof path === "string" && (path === this.#root || path.startsWith(`${this.#root}/`));
  }

  mkdir(path: string, options: { recursive?: boolean; mode?: number } = {}): void {
    const mode = options.mode ?? 0o777;
    const parent = parentOf(path);
    if (options.recursive) {
      if (this.#entries.get(path)?.kind === "dir") return;
      if (this.holds(parent) && parent !== path) this.mkdir(parent, options);
    } else if (this.#entries.has(path)) throw new Deno.errors.AlreadyExists(path);
    this.#needFolder(parent);
    this.#entries.set(path, { kind: "dir", mode });
  }

  makeTempDir(dir: string, prefix: string): string {
    const path = `${dir}/${prefix}${(this.#temporary++).toString(36).padStart(8, "0")}`;
    this.mkdir(path, { mode: 0o700 });
    return path;
  }

  readDir(path: string): Deno.DirEntry[] {
    const dir = this.#resolve(path);
    this.#needFolder(dir);
    const found: Deno.DirEntry[] = [];
    const prefix = `${dir}/`;
    for (const [path, { kind }] of this.#entries) {
      if (!path.startsWith(prefix) || path.includes("/", prefix.length)) continue;
      found.push({
        name: path.slice(prefix.length),
        isFile: kind === "file",
        isDirectory: kind === "dir",
        isSymlink: kind === "link",
      });
    }
    return found;
  }

  writeFile(path: string, bytes: Uint8Array, mode = 0o666): void {
    this.#needFolder(parentOf(path));
    const before = this.#entries.get(path);
    if (before?.kind === "dir") throw new Deno.errors.IsADirectory(path);
    this.#entries.set(path, { kind: "file", mode: before?.mode ?? mode, bytes: bytes.slice() });
  }

  writeTextFile(path: string, text: string, mode?: number): void {
    this.writeFile(path, encoder.encode(text), mode);
  }

  readFile(path: string): Uint8Array<ArrayBuffer> {
    const entry = this.#entry(this.#resolve(path));
    if (entry.kind !== "file") throw new Deno.errors.IsADirectory(path);
    return entry.bytes.slice();
  }

  readTextFile(path: string): string {
    return decoder.decode(this.readFile(path));
  }

  chmod(path: string, mode: number): void {
    this.#entry(this.#resolve(path)).mode = mode;
  }

  symlink(target: string, path: string): void {
    if (this.#entries.has(path)) throw new Deno.errors.AlreadyExists(path);
    this.#needFolder(parentOf(path));
    this.#entries.set(path, { kind: "link", mode: 0o777, target });
  }

  readLink(path: string): string {
    const entry = this.#entry(path);
    if (entry.kind !== "link") throw new Deno.errors.InvalidData(path);
    return entry.target;
  }

  rename(from: string, to: string): void {
    const moved = [...this.#entries].filter(([each]) =>
      each === from || each.startsWith(`${from}/`)
    );
    if (moved.length === 0) throw new Deno.errors.NotFound(from);
    if (this.#entries.has(to)) this.remove(to, true);
    for (const [path, entry] of moved) {
      this.#entries.delete(path);
      this.#entries.set(to + path.slice(from.length), entry);
    }
  }

  remove(path: string, recursive = false): void {
    this.#entry(path);
    const below = [...this.#entries.keys()].filter((each) => each.startsWith(`${path}/`));
    if (below.length > 0 && !recursive) throw new Error(`Directory not empty: ${path}`);
    for (const each of [path, ...below]) this.#entries.delete(each);
  }

  stat(path: string, follow: boolean): Deno.FileInfo {
    const entry = this.#entry(follow ? this.#resolve(path) : path);
    return {
      isFile: entry.kind === "file",
      isDirectory: entry.kind === "dir",
      isSymlink: entry.kind === "link",
      size: entry.kind === "file" ? entry.bytes.length : 0,
      mode: entry.mode,
    } as Deno.FileInfo; // the rooms look at nothing else
  }

  /** For reading; what it gives behaves as the file did when it was opened. */
  open(path: string): Deno.FsFile {
    const bytes = this.readFile(path);
    let at = 0;
    return {
      stat: () => Promise.resolve(this.stat(path, true)),
      seek: (offset: number) => Promise.resolve(at = Number(offset)),
      read: (buffer: Uint8Array) => {
        if (at >= bytes.length) return Promise.resolve(null);
        const part = bytes.subarray(at, at + buffer.length);
        buffer.set(part);
        at += part.length;
        return Promise.resolve(part.length);
      },
      close: () => {},
    } as unknown as Deno.FsFile; // the rooms call nothing else
  }

  /** A file to append to: it is there, and what is written to it is not kept. */
  openLog(path: string): Deno.FsFile {
    if (!this.#entries.has(path)) this.writeFile(path, new Uint8Array());
    const file = { writeSync: (bytes: Uint8Array) => bytes.length, close: () => {} };
    return file as unknown as Deno.FsFile; // the fake runtime's log calls nothing else
  }

  /** Paths that exist below `dir`; for checkers. */
  below(dir: string): string[] {
    return [...this.#entries.keys()].filter((each) => each.startsWith(`${dir}/`));
  }

  #entry(path: string): Entry {
    const entry = this.#entries.get(path);
    if (!entry) throw new Deno.errors.NotFound(`No such file or directory: ${path}`);
    return entry;
  }

  #needFolder(path: string): void {
    if (this.#entry(this.#resolve(path)).kind !== "dir") {
      throw new Deno.errors.NotADirectory(path);
    }
  }

  /** `path` with the links on the way followed. */
  #resolve(path: string): string {
    const kind = this.#entries.get(path)?.kind;
    return kind !== undefined && kind !== "link" ? path : this.#follow(path);
  }

  #follow(path: string, depth = 0): string {
    let done = this.#root;
    const parts = path.slice(this.#root.length).split("/").filter((part) => part !== "");
    for (const [i, part] of parts.entries()) {
      const next = part === ".." ? parentOf(done) : `${done}/${part}`;
      const entry = this.#entries.get(next);
      if (entry?.kind === "link" && depth < 8) {
        const target = entry.target.startsWith("/") ? entry.target : `${done}/${entry.target}`;
        return this.#follow([target, ...parts.slice(i + 1)].join("/"), depth + 1);
      }
      done = next;
    }
    return done;
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
