/**
 * Commits per second of the store beside native SQLite (`node:sqlite`, WAL, synchronous=FULL), in
 * one run on one disk: one writer that waits for each commit, and 16 in flight. The two take turns,
 * and the median of the rounds counts, because a disk that others share too is never the same
 * twice. Native SQLite has no commits in flight: its 16 are one after another, as its callers would
 * see it.
 */
import { DatabaseSync } from "node:sqlite";
import { SystemClock } from "../../shared/clock.ts";
import { encodeCbor } from "../../shared/store/value_codec.ts";
import { DenoDisk } from "../../shared/store/deno_disk.ts";
import { type DurableStore, openStore } from "../../shared/store/durable_store.ts";

export interface StoreBenchRow {
  name: string;
  commitsPerSecond: number;
  /** Latency of one commit, as the caller sees it. */
  p50Ms: number;
  p99Ms: number;
  bytesWrittenPerCommit?: number;
}

export interface StoreBenchOptions {
  /** On the disk to measure; a temporary folder is made in it and removed. */
  dir?: string;
  commits?: number;
  rounds?: number;
}

const VALUE_BYTES = 300;
const KEYS = 1_000;
const IN_FLIGHT = 16;

export async function run(options: StoreBenchOptions = {}): Promise<StoreBenchRow[]> {
  const { commits = 1_500, rounds = 3 } = options;
  const dir = await Deno.makeTempDir({ prefix: "skerry-bench-", ...dirOption(options.dir) });
  try {
    const clock = new SystemClock();
    const store = await openStore({ dir: `${dir}/store`, disk: new DenoDisk(), clock });
    const sqlite = openNative(`${dir}/native.sqlite`);
    const results: StoreBenchRow[][] = [];
    for (let round = 0; round < rounds; round++) {
      results.push([
        await benchStore("store, 1 in flight", store, commits, 1),
        benchNative("node:sqlite WAL FULL, 1 in flight", sqlite, commits),
        await benchStore(`store, ${IN_FLIGHT} in flight`, store, commits * 4, IN_FLIGHT),
      ]);
    }
    sqlite.close();
    await store.close();
    return results[0]!.map((_, column) => medianRow(results.map((row) => row[column]!)));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function dirOption(dir: string | undefined): { dir?: string } {
  return dir === undefined ? {} : { dir };
}

/** A record of 300 bytes, different each time. */
function value(i: number): { i: number; filler: string } {
  return { i, filler: String(i).padEnd(VALUE_BYTES - 20, "x") };
}

async function benchStore(
  name: string,
  store: DurableStore,
  commits: number,
  inFlight: number,
): Promise<StoreBenchRow> {
  const bytesBefore = store.stats().bytesWritten;
  const latencies: number[] = [];
  let next = 0;
  const worker = async () => {
    while (next < commits) {
      const i = next++;
      const start = performance.now();
      await store.commit([{ op: "put", bucket: "bench", key: `k${i % KEYS}`, value: value(i) }]);
      latencies.push(performance.now() - start);
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: inFlight }, worker));
  const row = toRow(name, latencies, performance.now() - start);
  const bytes = store.stats().bytesWritten - bytesBefore;
  return { ...row, bytesWrittenPerCommit: Math.round(bytes / commits) };
}

function openNative(path: string): DatabaseSync {
  const db = new DatabaseSync(path);
  db.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL");
  db.exec(
    "CREATE TABLE objects(bucket TEXT, key TEXT, value BLOB, PRIMARY KEY(bucket, key)) " +
      "WITHOUT ROWID",
  );
  return db;
}

function benchNative(name: string, db: DatabaseSync, commits: number): StoreBenchRow {
  const put = db.prepare("INSERT OR REPLACE INTO objects VALUES(?, ?, ?)");
  const latencies: number[] = [];
  const start = performance.now();
  for (let i = 0; i < commits; i++) {
    const before = performance.now();
    put.run("bench", `k${i % KEYS}`, encodeCbor(value(i)));
    latencies.push(performance.now() - before);
  }
  return toRow(name, latencies, performance.now() - start);
}

function toRow(name: string, latencies: number[], tookMs: number): StoreBenchRow {
  latencies.sort((a, b) => a - b);
  const at = (share: number) => round(latencies[Math.floor(latencies.length * share)] ?? 0, 2);
  const commitsPerSecond = Math.round(latencies.length / tookMs * 1000);
  return { name, commitsPerSecond, p50Ms: at(0.5), p99Ms: at(0.99) };
}

function medianRow(rows: StoreBenchRow[]): StoreBenchRow {
  return rows.toSorted((a, b) => a.commitsPerSecond - b.commitsPerSecond)[rows.length >> 1]!;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

if (import.meta.main) {
  const dir = Deno.args[0];
  console.table(await run(dir === undefined ? {} : { dir }));
}
