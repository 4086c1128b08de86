/**
 * What `openStore` does before the first commit: newest good snapshot, then the journal on top of
 * it, as far as every byte is proven good. Nothing here overwrites or cuts a journal: a bad tail is
 * fenced off by the next segment, which names the sequence it continues (`baseSequence`). So
 * recovery may itself be killed anywhere and simply runs again, also on a disk that is full.
 */
import type { Clock } from "../clock.ts";
import { AppError, isAppError } from "../errors.ts";
import type { BulkHead, BulkOpener } from "./bulk_file.ts";
import { BulkView } from "./bulk_view.ts";
import type { Disk } from "./disk.ts";
import {
  decodeHeader,
  JOURNAL_FORMAT,
  salvageFrames,
  scanSegment,
  type SegmentHeader,
} from "./journal_format.ts";
import type { StoreLimits } from "./limits.ts";
import {
  contentDigest,
  nameBeforeSetAside,
  parseJournalName,
  parseSnapshotName,
  TMP_SUFFIX,
} from "./names.ts";
import { LastOps } from "./ops.ts";
import type { RecoveryReport } from "./port.ts";
import { type Batch, decodeBatch } from "./records.ts";
import { SetAside } from "./set_aside.ts";
import type { SqlJsStatic } from "./sql_js.d.ts";
import { SqliteState } from "./state.ts";
import { decodeCbor, releaseCbor, type ValueCodec } from "./value_codec.ts";

/** Where present state keeps the counts of the streams as of its snapshot. */
export const MIRROR = { bucket: "_store", key: "bulk" } as const;

/** Applied at a time: SQLite keeps a copy of each page they touch, and its memory only grows. */
const REPLAY_OPS = 64;

/** After damage, sequences jump by this past the last one seen: lost ones are not used again. */
const SEQUENCE_JUMP = 65_536;

export type JournalPlan =
  | { kind: "resume"; name: string; baseSequence: number; end: number; allocated: number }
  | { kind: "create"; header: SegmentHeader };

export interface Segment extends SegmentHeader {
  name: string;
}

interface FoundSegment extends Segment {
  format: number;
}

export interface RecoverOptions {
  disk: Disk;
  dir: string;
  sqlite: SqlJsStatic;
  limits: StoreLimits;
  clock: Clock;
  codec: ValueCodec;
  bulk: BulkOpener | undefined;
}

export interface Recovered {
  state: SqliteState;
  bulk: BulkView;
  report: RecoveryReport;
  /** Good snapshots, newest first. */
  snapshots: { name: string; sequence: number }[];
  /** Segments in order, without those set aside. */
  segments: Segment[];
  journal: JournalPlan;
  /** Sequence of the next commit. */
  nextSequence: number;
  /** Bytes of journal behind the snapshot that was used. */
  journalBytes: number;
}

export async function recover(options: RecoverOptions): Promise<Recovered> {
  const { disk, dir, sqlite } = options;
  const run = new Recovery(options);
  const names = (await disk.list(dir)).sort();
  await run.removeTemporary(names);
  const state = await run.loadSnapshot(names, sqlite);
  let bulk: BulkView | undefined;
  try {
    await run.loadSegments(names);
    bulk = await run.openBulk(state);
    for (let i = 0; i < run.segments.length; i++) await run.replay(state, bulk, i);
    await run.recallLoss(names);
    return await run.finish(state, bulk);
  } catch (error) {
    state.close();
    await bulk?.close();
    throw error;
  } finally {
    releaseCbor();
  }
}

class Recovery {
  readonly segments: FoundSegment[] = [];
  readonly #options: RecoverOptions;
  readonly #disk: Disk;
  readonly #dir: string;
  readonly #aside: SetAside;
  readonly #report: RecoveryReport = { lastSequence: 0, replayed: 0, tornBytes: 0, damage: [] };
  readonly #snapshots: { name: string; sequence: number }[] = [];
  readonly #unreachable = new Set<string>();
  /** Sequence of the state so far. */
  #last = 0;
  /** Sequence the next commit would have; more than one past #last behind a jump. */
  #next = 1;
  /** Commits may be gone whose sequences are not known. */
  #lost = false;
  /** Highest sequence that any file gives evidence of. */
  #seen = 0;
  #journalBytes = 0;
  #resume: Extract<JournalPlan, { kind: "resume" }> | undefined;

  constructor(options: RecoverOptions) {
    const { disk, dir, limits } = options;
    this.#options = options;
    this.#disk = disk;
    this.#dir = dir;
    this.#aside = new SetAside(disk, dir, limits.setAsideFilesMax, this.#report.damage);
  }

  async removeTemporary(names: readonly string[]): Promise<void> {
    for (const name of names) {
      // On a read-only disk it stays, and harms nothing.
      if (name.endsWith(TMP_SUFFIX)) await this.#disk.remove(this.#path(name)).catch(() => {});
    }
  }

  async loadSnapshot(names: readonly string[], sqlite: SqlJsStatic): Promise<SqliteState> {
    let state: SqliteState | undefined;
    for (const name of names.toReversed()) {
      const parsed = parseSnapshotName(name);
      if (!parsed) continue;
      this.#seen = Math.max(this.#seen, parsed.sequence);
      const bytes = await this.#disk.read(this.#path(name));
      if (await contentDigest(bytes) !== parsed.digest) {
        await this.#aside.whole(name, "snapshot fails its checksum");
        continue;
      }
      this.#snapshots.push({ name, sequence: parsed.sequence });
      if (state) continue;
      state = SqliteState.open(sqlite, bytes);
      this.#last = parsed.sequence;
      this.#next = parsed.sequence + 1;
    }
    return state ?? SqliteState.open(sqlite);
  }

  async loadSegments(names: readonly string[]): Promise<void> {
    const found: FoundSegment[] = [];
    for (const name of names) {
      const parsed = parseJournalName(name);
      if (!parsed) continue;
      this.#seen = Math.max(this.#seen, parsed.firstSequence - 1);
      const bytes = await this.#disk.read(this.#path(name));
      const header = decodeHeader(bytes, name);
      if (header) found.push({ name, ...header });
      else {
        this.#noteSequences(salvageFrames(bytes, 0));
        this.#lost = true;
        await this.#aside.whole(name, "journal header fails its checksum");
      }
    }
    // A segment whose base a later one repeats or undercuts was fenced off by that one.
    this.segments.push(
      ...found.filter((a, i) => !found.slice(i + 1).some((b) => b.baseSequence <= a.baseSequence)),
    );
  }

  /** The bulk file as it is; what the journal holds beyond it follows with `replay`. */
  async openBulk(state: SqliteState): Promise<BulkView> {
    const { dir, bulk: opener, clock, codec, limits } = this.#options;
    const bytes = state.get(MIRROR.bucket, MIRROR.key);
    const mirror = bytes && decodeCbor(bytes) as BulkHead; // its snapshot's checksum held
    const setAside = this.#aside;
    const bulk = await BulkView.open({ dir, opener, clock, codec, limits, setAside }, mirror);
    await bulk.requireFrom(this.segments[0]?.baseSequence ?? this.#last, mirror);
    this.#seen = Math.max(this.#seen, bulk.position);
    return bulk;
  }

  /** Applies what is proven good of segment `index` and judges what lies behind it. */
  async replay(state: SqliteState, bulk: BulkView, index: number): Promise<void> {
    const segment = this.segments[index]!;
    const until = this.segments[index + 1]?.baseSequence;
    const bytes = await this.#disk.read(this.#path(segment.name));
    const reachable = segment.baseSequence <= this.#last;
    let next = segment.firstSequence;
    let payloadBytes = 0;
    const batches: Batch[] = [];
    const last = new LastOps();
    const { end, tail } = scanSegment(bytes, (payload) => {
      const batch = decodeBatch(payload);
      if (batch.seq !== next) return false;
      next += batch.commits.length;
      this.#seen = Math.max(this.#seen, next - 1);
      const counts = reachable && next - 1 <= (until ?? Infinity);
      if (counts && next - 1 > bulk.position) batches.push(batch);
      if (counts && next - 1 > this.#last) {
        for (const ops of batch.commits) last.add(ops);
        this.#report.replayed += batch.commits.length;
        this.#last = next - 1;
        payloadBytes += payload.length;
      }
      return true;
    });
    const ops = last.ops();
    for (let at = 0; at < ops.length; at += REPLAY_OPS) {
      state.apply([ops.slice(at, at + REPLAY_OPS)]);
    }
    // one that is not written any more counts with the room it takes: a machine that loses power
    // again and again leaves many, with little in each, and a snapshot must come all the same
    const isOver = until !== undefined;
    if (payloadBytes > 0) this.#journalBytes += isOver ? bytes.length : payloadBytes;
    if (!reachable) {
      this.#unreachable.add(segment.name);
      this.#lost = true;
      return await this.#aside.whole(segment.name, "journal does not continue what is before it");
    }
    for (const { seq, commits } of batches) {
      for (const [i, ops] of commits.entries()) await bulk.replay(seq + i, ops);
    }
    this.#next = Math.max(this.#next, next);
    if (until === undefined ? tail.kind === "damaged" : next - 1 < until) {
      const what = tail.kind === "damaged" ? tail.what : "records are missing at the end";
      this.#noteSequences(salvageFrames(bytes, end));
      // what a snapshot holds is not lost
      this.#lost ||= until === undefined || this.#last < until;
      await this.#aside.rest(segment.name, bytes, end, what);
    } else if (until === undefined && tail.kind === "torn") {
      this.#report.tornBytes += tail.bytes;
    } else if (until === undefined && segment.format === JOURNAL_FORMAT) {
      const { name, baseSequence } = segment;
      this.#resume = { kind: "resume", name, baseSequence, end, allocated: bytes.length };
    }
  }

  /**
   * What an earlier open set aside counts until a commit has gone beyond it: whoever was killed
   * between the two must hear of the loss again, or what is absent would look deleted.
   */
  async recallLoss(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const before = nameBeforeSetAside(name);
      if (before === undefined) continue;
      this.#seen = Math.max(this.#seen, parseSnapshotName(before)?.sequence ?? 0);
      const { firstSequence = 0 } = parseJournalName(before) ?? {};
      if (firstSequence < this.#next) continue;
      this.#seen = Math.max(this.#seen, firstSequence);
      this.#noteSequences(salvageFrames(await this.#disk.read(this.#path(name)), 0));
    }
  }

  async finish(state: SqliteState, bulk: BulkView): Promise<Recovered> {
    const report = this.#report;
    report.lastSequence = this.#last;
    const lost = this.#lost || this.#seen >= this.#next;
    if (lost) report.lostCommits = true;
    const nextSequence = lost ? Math.max(this.#seen, this.#next) + SEQUENCE_JUMP : this.#next;
    // A sequence jump, like a bad tail, needs a new segment.
    const journal: JournalPlan = this.#resume && !lost ? this.#resume : {
      kind: "create",
      header: { firstSequence: nextSequence, baseSequence: this.#last },
    };
    const segments = this.segments.filter((s) => !this.#unreachable.has(s.name));
    const newest = segments.at(-1);
    if (newest && report.replayed > 0) await this.#syncReplayed(newest.name);
    return {
      state,
      bulk,
      report,
      snapshots: this.#snapshots,
      segments,
      journal,
      nextSequence,
      journalBytes: this.#journalBytes,
    };
  }

  /**
   * After a kill -9 the last frame may be in the page cache only; what is served must be durable.
   */
  async #syncReplayed(name: string): Promise<void> {
    try {
      const file = await this.#disk.open(this.#path(name), "existing");
      await file.syncData().finally(() => file.close());
    } catch (error) {
      // A disk that takes no writes at all (read-only) holds no unsynced ones either.
      if (!isAppError(error, "unavailable", "exhausted")) throw error;
    }
  }

  #noteSequences(payloads: Iterable<Uint8Array>): void {
    for (const payload of payloads) {
      try {
        const batch = decodeBatch(payload);
        this.#seen = Math.max(this.#seen, batch.seq + batch.commits.length - 1);
      } catch (error) {
        // Salvage meets whatever looks like a record; what is none gives no evidence.
        if (!(error instanceof AppError)) continue;
      }
    }
  }

  #path(name: string): string {
    return `${this.#dir}/${name}`;
  }
}
