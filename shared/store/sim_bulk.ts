/**
 * The bulk file over a simulated disk: the same SQL, in memory, with every transaction appended to
 * a file as one checksummed frame. Like SQLite's write-ahead log, what was not synced may be lost
 * or torn in a crash, and opening takes the frames up to the first that is not whole. A file that
 * has grown far beyond what it holds is written anew beside and renamed, as a checkpoint would.
 */
import type { BulkFile, BulkHead, BulkOpener, BulkRow, BulkTransaction } from "./bulk_file.ts";
import type { DiskFile } from "./disk.ts";
import { encodeFrame, HEADER_BYTES, scanSegment } from "./journal_format.ts";
import { BULK_NAME, TMP_SUFFIX } from "./names.ts";
import { NativeBulk } from "./native_bulk.ts";
import type { SimDisk } from "./sim_disk.ts";
import { decodeCbor, encodeCbor } from "./value_codec.ts";

/** A file of this size and twice what it held is written anew. */
const COMPACT_BYTES_MIN = 1024 * 1024;
const ROWS_PER_FRAME = 500;

type Act =
  | [kind: 0, stream: number, row: BulkRow]
  | [kind: 1, stream: number, from: number, to: number];

interface Logged {
  acts: Act[];
  head: BulkHead;
}

export function simBulk(disk: SimDisk): BulkOpener {
  const path = (dir: string) => `${dir}/${BULK_NAME}`;
  return {
    names: [BULK_NAME],
    exists: (dir) => Promise.resolve(disk.files().includes(path(dir))),
    open: async (dir) => {
      const known = disk.files().includes(path(dir));
      const bytes = known ? await disk.read(path(dir)) : new Uint8Array();
      const file = await disk.open(path(dir), known ? "existing" : "create");
      return new SimBulk({ disk, dir, file, bytes });
    },
  };
}

class SimBulk implements BulkFile {
  readonly #at: { disk: SimDisk; dir: string };
  #file: DiskFile;
  readonly #inner = NativeBulk.open(":memory:");
  #end = HEADER_BYTES;
  /** Written to files that this one has replaced. */
  #writtenBefore = 0;
  #compactAt = COMPACT_BYTES_MIN;
  #named = false;
  busy = false;

  constructor(
    { bytes, file, ...at }: { disk: SimDisk; dir: string; file: DiskFile; bytes: Uint8Array },
  ) {
    this.#at = at;
    this.#file = file;
    this.#end = scanSegment(bytes, (payload) => {
      const { acts, head } = decodeCbor(payload) as Logged; // its checksum held
      this.#inner.transact((tx) => {
        for (const act of acts) {
          if (act[0] === 0) tx.insert(act[1], act[2]);
          else tx.remove(act[1], act[2], act[3]);
        }
        return head;
      });
      return true;
    }).end;
  }

  get head(): BulkHead | undefined {
    return this.#inner.head;
  }

  get wantsSync(): boolean {
    return this.#end > this.#compactAt;
  }

  get bytesWritten(): number {
    return this.#writtenBefore + this.#end;
  }

  get size(): number {
    return this.#end;
  }

  transact(work: (tx: BulkTransaction) => BulkHead): void {
    const acts: Act[] = [];
    this.#inner.transact((tx) => {
      const head = work({
        insert: (stream, row) => {
          acts.push([0, stream, row]);
          return tx.insert(stream, row);
        },
        remove: (stream, from, to) => {
          acts.push([1, stream, from, to]);
          return tx.remove(stream, from, to);
        },
        oldest: (stream, after, limit) => tx.oldest(stream, after, limit),
      });
      this.#append(encodeFrame(encodeCbor({ acts, head } satisfies Logged)));
      return head;
    });
  }

  ids(stream: number, from: number, to: number): number[] {
    return this.#inner.ids(stream, from, to);
  }

  rows(range: Parameters<BulkFile["rows"]>[0]): ReturnType<BulkFile["rows"]> {
    return this.#inner.rows(range);
  }

  oldest(stream: number, after: number, limit: number): ReturnType<BulkFile["oldest"]> {
    return this.#inner.oldest(stream, after, limit);
  }

  check(): string | undefined {
    return this.#inner.check();
  }

  async sync(): Promise<void> {
    await this.#file.syncData();
    if (!this.#named) await this.#at.disk.syncDir(this.#at.dir);
    this.#named = true;
    if (!this.wantsSync) return;
    this.busy = true;
    try {
      await this.#compact();
    } finally {
      this.busy = false;
    }
  }

  close(): void {
    this.#inner.close();
    this.#file.close();
  }

  async #compact(): Promise<void> {
    const { disk, dir } = this.#at;
    const beside = `${this.#path}${TMP_SUFFIX}`; // recovery removes what is left of it
    const file = await disk.open(beside, "create");
    let end = HEADER_BYTES;
    for (const frame of this.#frames()) {
      await file.writeAt(end, frame);
      end += frame.length;
    }
    await file.syncData();
    await disk.rename(beside, this.#path);
    await disk.syncDir(dir);
    this.#file = file;
    this.#writtenBefore += this.#end;
    this.#end = end;
    this.#compactAt = Math.max(COMPACT_BYTES_MIN, 2 * end);
  }

  /** Everything that is held. */
  *#frames(): Generator<Uint8Array> {
    const { head } = this;
    if (!head) return;
    for (const { number: stream } of Object.values(head.streams)) {
      const range = { stream, fromMs: -Infinity, toMs: Infinity, newestFirst: false };
      for (let after = -1;;) {
        const { rows } = this.#inner.rows({ ...range, after, limit: ROWS_PER_FRAME });
        const last = rows.at(-1);
        if (!last) break;
        const acts = rows.map((row): Act => [0, stream, row]);
        yield encodeFrame(encodeCbor({ acts, head } satisfies Logged));
        after = last.id;
      }
    }
    yield encodeFrame(encodeCbor({ acts: [], head } satisfies Logged));
  }

  #append(frame: Uint8Array): void {
    this.#at.disk.writeNow(this.#path, this.#end, frame);
    this.#end += frame.length;
  }

  get #path(): string {
    return `${this.#at.dir}/${BULK_NAME}`;
  }
}
