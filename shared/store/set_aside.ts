/**
 * Keeps what failed its checksum for the operator, under a new name, and says so in the report.
 * Best effort: on a full or read-only disk the damaged bytes stay where they are, and are still
 * never served. Bounded: the oldest set-aside files go first.
 */
import type { Disk } from "./disk.ts";
import { SET_ASIDE_PREFIX } from "./names.ts";
import type { RecoveryReport } from "./port.ts";

/** Rows of the report: the rest is more of the same. */
const DAMAGE_ROWS_MAX = 100;

export class SetAside {
  readonly #disk: Disk;
  readonly #dir: string;
  readonly #filesMax: number;
  readonly #damage: RecoveryReport["damage"];

  constructor(disk: Disk, dir: string, filesMax: number, damage: RecoveryReport["damage"]) {
    this.#disk = disk;
    this.#dir = dir;
    this.#filesMax = filesMax;
    this.#damage = damage;
  }

  /** Renames a file that cannot be used at all. */
  async whole(name: string, what: string): Promise<void> {
    await this.#note({ what, file: name }, async (target) => {
      await this.#disk.rename(this.#path(name), this.#path(target));
    });
  }

  /** Copies what lies behind `offset`; the file itself stays, for what comes before. */
  async rest(name: string, bytes: Uint8Array, offset: number, what: string): Promise<void> {
    await this.#note({ what, file: name, offset }, async (target) => {
      const file = await this.#disk.open(this.#path(target), "create");
      try {
        await file.writeAt(0, bytes.subarray(offset));
        await file.syncData();
      } finally {
        file.close();
      }
    });
  }

  /** Says that something is wrong where nothing can be set aside. */
  note(what: string, file: string): void {
    if (this.#damage.length < DAMAGE_ROWS_MAX) this.#damage.push({ what, file });
  }

  /** The bulk file and what lies beside it; an older one goes, it may be large. */
  async bulk(name: string, beside: readonly string[], what: string): Promise<void> {
    const there = new Set(await this.#disk.list(this.#dir).catch(() => []));
    for (const old of there) {
      if (old.startsWith(SET_ASIDE_PREFIX) && old.endsWith(name)) {
        await this.#disk.remove(this.#path(old)).catch(() => {}); // best effort, as all here
      }
    }
    // without its log the file is not what it was, but the log alone would damage the next one
    for (const each of beside.filter((it) => there.has(it))) {
      await this.#disk.remove(this.#path(each)).catch(() => {}); // as above
    }
    if (there.has(name)) return await this.whole(name, what);
    this.note(what, name);
  }

  async #note(
    entry: RecoveryReport["damage"][number],
    move: (target: string) => Promise<void>,
  ): Promise<void> {
    try {
      const target = await this.#freeName(entry.file);
      await move(target);
      await this.#disk.syncDir(this.#dir);
      entry.setAsideAs = target;
    } catch {
      // The report without `setAsideAs` says that it stayed in place.
    }
    this.#damage.push(entry);
  }

  /** `damaged-NNNN-<name>`, numbered onwards; makes room under the bound. */
  async #freeName(name: string): Promise<string> {
    const old = (await this.#disk.list(this.#dir))
      .filter((n) => n.startsWith(SET_ASIDE_PREFIX)).sort();
    const last = Number(old.at(-1)?.slice(SET_ASIDE_PREFIX.length).split("-")[0] ?? 0);
    for (const extra of old.slice(0, Math.max(0, old.length - this.#filesMax + 1))) {
      await this.#disk.remove(this.#path(extra));
    }
    const number = String((Number.isFinite(last) ? last : 0) + 1).padStart(6, "0");
    return `${SET_ASIDE_PREFIX}${number}-${name}`;
  }

  #path(name: string): string {
    return `${this.#dir}/${name}`;
  }
}
