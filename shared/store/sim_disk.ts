/**
 * A disk in memory that keeps apart what is written and what is durable. `crash` yields the disk a
 * power cut might leave: of each file any subset of the writes since its last sync, each whole, cut
 * short or with sectors missing; of each folder a prefix of the renames, creations and removals
 * since its last sync. Seeded by `Random`, so a failing history can be run again.
 */
import type { Clock } from "../clock.ts";
import { AppError } from "../errors.ts";
import type { Random } from "../random.ts";
import type { BulkOpener } from "./bulk_file.ts";
import type { Disk, DiskFile, DiskLock } from "./disk.ts";
import { simBulk } from "./sim_bulk.ts";

const SECTOR_BYTES = 512;

type Change =
  | { kind: "write"; offset: number; bytes: Uint8Array }
  | { kind: "truncate"; size: number };

/** What was written since the last sync, and how it was before: all that a crash needs. */
interface Pending {
  change: Change;
  before: { size: number; offset: number; bytes: Uint8Array };
}

interface Inode {
  /** With room to grow: an append must not cost the whole file. */
  bytes: Uint8Array<ArrayBuffer>;
  size: number;
  pending: Pending[];
}

type NameChange =
  | { kind: "link"; path: string; inode: Inode }
  | { kind: "rename"; from: string; to: string }
  | { kind: "unlink"; path: string };

export interface SimDiskOptions {
  /** All files together; a write beyond it writes what fits and fails with `exhausted`. */
  capacityBytes?: number;
  /** Called before each act that changes something, with its name and number; may throw. */
  onAct?: (act: string, number: number) => void;
  /** A slow disk: each sync sleeps this long on `clock`. */
  slow?: { clock: Clock; syncMs: number };
}

export class SimDisk implements Disk {
  readonly bulk: BulkOpener = simBulk(this);
  capacityBytes: number;
  onAct: ((act: string, number: number) => void) | undefined;
  acts = 0;
  readonly #slow: SimDiskOptions["slow"];
  #live = new Map<string, Inode>();
  #durable = new Map<string, Inode>();
  #names: NameChange[] = [];
  readonly #locks = new Set<string>();

  constructor(options: SimDiskOptions = {}) {
    this.capacityBytes = options.capacityBytes ?? Infinity;
    this.onAct = options.onAct;
    this.#slow = options.slow;
  }

  ensureDir(_dir: string): Promise<void> {
    return Promise.resolve();
  }

  list(dir: string): Promise<string[]> {
    const names = [...this.#live.keys()].filter((p) => p.startsWith(dir + "/"));
    return Promise.resolve(names.map((p) => p.slice(dir.length + 1)));
  }

  read(path: string): Promise<Uint8Array<ArrayBuffer>> {
    return attempt(() => contents(this.#inode(path)).slice());
  }

  open(path: string, mode: "create" | "existing"): Promise<DiskFile> {
    return attempt(() => {
      if (mode === "create") {
        this.#act("create");
        const inode: Inode = { bytes: new Uint8Array(), size: 0, pending: [] };
        this.#live.set(path, inode);
        this.#names.push({ kind: "link", path, inode });
      }
      return this.#file(this.#inode(path));
    });
  }

  rename(from: string, to: string): Promise<void> {
    return attempt(() => {
      this.#act("rename");
      this.#live.set(to, this.#inode(from));
      this.#live.delete(from);
      this.#names.push({ kind: "rename", from, to });
    });
  }

  remove(path: string): Promise<void> {
    return attempt(() => {
      this.#act("remove");
      this.#inode(path);
      this.#live.delete(path);
      this.#names.push({ kind: "unlink", path });
    });
  }

  async syncDir(_dir: string): Promise<void> {
    await this.#sleep();
    this.#act("syncDir");
    this.#durable = new Map(this.#live);
    this.#names = [];
  }

  lock(path: string): Promise<DiskLock> {
    return attempt(() => {
      if (this.#locks.has(path)) {
        throw new AppError("unavailable", `Cannot open store ${path}: it is in use by process 1`);
      }
      this.#locks.add(path);
      return {
        release: () => {
          this.#locks.delete(path);
          return Promise.resolve();
        },
      };
    });
  }

  /** `writeAt` for those who cannot wait, such as SQLite. */
  writeNow(path: string, offset: number, bytes: Uint8Array): void {
    this.#write(this.#inode(path), offset, bytes);
  }

  /** A disk as a power cut right now might leave it; this one is not touched. */
  crash(random: Random): SimDisk {
    const names = new Map(this.#durable);
    const kept = Math.floor(random.float() * (this.#names.length + 1));
    for (const change of this.#names.slice(0, kept)) applyName(names, change);
    const after = new SimDisk();
    const survivors = new Map<Inode, Inode>();
    for (const [path, inode] of names) {
      const survivor = survivors.get(inode) ?? solid(crashContents(inode, random));
      survivors.set(inode, survivor);
      after.#live.set(path, survivor);
    }
    after.#durable = new Map(after.#live);
    return after;
  }

  /** A disk with the same contents, all of it durable: what a kill -9 leaves. */
  copy(): SimDisk {
    const after = new SimDisk();
    for (const [path, inode] of this.#live) after.#live.set(path, solid(contents(inode).slice()));
    after.#durable = new Map(after.#live);
    return after;
  }

  files(): string[] {
    return [...this.#live.keys()].sort();
  }

  size(path: string): number {
    return this.#inode(path).size;
  }

  get usedBytes(): number {
    return this.#used();
  }

  /** Flips one bit of a file, behind everyone's back. */
  flipBit(path: string, bit: number): void {
    const inode = this.#inode(path);
    inode.bytes[bit >> 3]! ^= 1 << (bit & 7);
    inode.pending = [];
  }

  cut(path: string, size: number): void {
    const inode = this.#inode(path);
    resize(inode, Math.min(size, inode.size));
    inode.pending = [];
  }

  #file(inode: Inode): DiskFile {
    return {
      writeAt: (offset, bytes) => attempt(() => this.#write(inode, offset, bytes)),
      truncate: (size) =>
        attempt(() => {
          this.#act("truncate");
          change(inode, { kind: "truncate", size });
        }),
      syncData: async () => {
        await this.#sleep();
        this.#act("sync");
        inode.pending = [];
      },
      close: () => {},
    };
  }

  #write(inode: Inode, offset: number, bytes: Uint8Array): void {
    this.#act("write");
    const grown = Math.max(0, offset + bytes.length - inode.size);
    const isBounded = grown > 0 && this.capacityBytes < Infinity;
    const room = isBounded ? Math.max(0, this.capacityBytes - this.#used()) : grown;
    const fits = grown > room ? Math.max(0, bytes.length - (grown - room)) : bytes.length;
    change(inode, { kind: "write", offset, bytes: bytes.slice(0, fits) });
    if (fits < bytes.length) {
      throw new AppError("exhausted", "Cannot write: no space left on device");
    }
  }

  #used(): number {
    return new Set(this.#live.values()).values().reduce((sum, i) => sum + i.size, 0);
  }

  #inode(path: string): Inode {
    const inode = this.#live.get(path);
    if (!inode) throw new AppError("not_found", `Cannot open ${path}: no such file`);
    return inode;
  }

  #act(name: string): void {
    this.acts++;
    this.onAct?.(name, this.acts);
  }

  async #sleep(): Promise<void> {
    if (this.#slow) await this.#slow.clock.sleep(this.#slow.syncMs);
  }
}

function crashContents(inode: Inode, random: Random): Uint8Array<ArrayBuffer> {
  const after = solid(contents(inode).slice());
  for (const { before } of inode.pending.toReversed()) {
    resize(after, before.size);
    after.bytes.set(before.bytes, before.offset);
  }
  for (const { change } of inode.pending) {
    if (change.kind === "truncate") {
      if (random.float() < 0.5) apply(after, change);
    } else for (const part of torn(change, random)) apply(after, part);
  }
  return contents(after);
}

/** What of a write may be on disk: all, nothing, its beginning, or some of its sectors. */
function torn(change: Extract<Change, { kind: "write" }>, random: Random): Change[] {
  const { offset, bytes } = change;
  const fate = random.float();
  if (fate < 0.25) return [change];
  if (fate < 0.4) return [];
  if (fate < 0.7) {
    const kept = Math.floor(random.float() * bytes.length);
    return [{ kind: "write", offset, bytes: bytes.subarray(0, kept) }];
  }
  const parts: Change[] = [];
  for (let at = 0; at < bytes.length;) {
    const next = Math.min(bytes.length, at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES);
    const part = { kind: "write" as const, offset: offset + at, bytes: bytes.subarray(at, next) };
    if (random.float() < 0.5) parts.push(part);
    at = next;
  }
  return parts;
}

function contents(inode: Inode): Uint8Array<ArrayBuffer> {
  return inode.bytes.subarray(0, inode.size);
}

/** Changes the file, and remembers what a power cut may take back. */
function change(inode: Inode, change: Change): void {
  const { size } = inode;
  const from = change.kind === "write"
    ? Math.min(change.offset, size)
    : Math.min(change.size, size);
  const to = change.kind === "write" ? Math.min(size, from + change.bytes.length) : size;
  const before = { size, offset: from, bytes: inode.bytes.slice(from, to) };
  inode.pending.push({ change, before });
  apply(inode, change);
}

function apply(inode: Inode, change: Change): void {
  if (change.kind === "truncate") return resize(inode, change.size);
  const { offset, bytes } = change;
  if (bytes.length === 0) return;
  if (offset + bytes.length > inode.size) resize(inode, offset + bytes.length);
  inode.bytes.set(bytes, offset);
}

/** What is beyond the end reads as zeros when the file grows over it. */
function resize(inode: Inode, size: number): void {
  if (size > inode.bytes.length) {
    const bytes = new Uint8Array(Math.max(size, 2 * inode.bytes.length));
    bytes.set(contents(inode));
    inode.bytes = bytes;
  } else if (size < inode.size) inode.bytes.fill(0, size, inode.size);
  inode.size = size;
}

function applyName(names: Map<string, Inode>, change: NameChange): void {
  if (change.kind === "link") names.set(change.path, change.inode);
  else if (change.kind === "unlink") names.delete(change.path);
  else {
    const inode = names.get(change.from);
    if (inode) names.set(change.to, inode);
    names.delete(change.from);
  }
}

function solid(bytes: Uint8Array<ArrayBuffer>): Inode {
  return { bytes, size: bytes.length, pending: [] };
}

/** Runs at once; what it throws becomes a rejection, as a real disk would give it. */
function attempt<T>(work: () => T): Promise<T> {
  return Promise.try(work);
}
