/**
 * Commits per second of the store beside native SQLite (`node:sqlite`, WAL, synchronous=FULL), in
 * one run on one disk, values of 300 bytes: one writer that waits for each commit, and 16 in flight
 * (which share syncs; native SQLite's commits have no such thing). They take turns in short slices
 * and the median slice counts, because a shared disk is never the same twice. Then snapshots of a
 * store with 10 000 objects of 2 kB under a writer: what they hold up.
 */
import { DatabaseSync } from "node:sqlite";
import { type Clock, nextTurn, SystemClock } from "../../shared/clock.ts";
import { DenoDisk } from "../../shared/store/deno_disk.ts";
import { type DurableStore, openStore } from "../../shared/store/durable_store.ts";
import type { StoreOp } from "../../shared/store/port.ts";
import { encodeCbor } from "../../shared/store/value_codec.ts";
import {
  type BenchOptions,
  type BenchResult,
  formatTable,
  median,
  type Metric,
  quantile,
} from "./result.ts";

const VALUE_BYTES = 300;
const KEYS = 1_000;
const IN_FLIGHT = 16;
const ROUNDS = 25;
const SLICE_COMMITS = 150;
/** What a snapshot may hold writers up. */
const PAUSE_MS_MAX = 50;
const BIG = { objects: 10_000, valueBytes: 2_000, snapshots: 5 };

interface Slice {
  perSecond: number;
  latenciesMs: number[];
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const clock = new SystemClock();
  const dir = options.args[0] ?? options.workDir;
  const folder = await Deno.makeTempDir({ prefix: "store-", dir });
  const store = await openStore({ dir: `${folder}/store`, disk: new DenoDisk(), clock });
  let pauses: Pauses;
  const native = openNative(`${folder}/native.sqlite`);
  const slices: Record<"one" | "many" | "native", Slice[]> = { one: [], many: [], native: [] };
  try {
    for (let round = 0; round < ROUNDS && !options.signal.aborted; round++) {
      slices.native.push(benchNative(native, clock));
      slices.one.push(await benchStore(store, clock, SLICE_COMMITS, 1));
      slices.many.push(await benchStore(store, clock, SLICE_COMMITS * 4, IN_FLIGHT));
    }
    options.signal.throwIfAborted();
    pauses = await snapshotPauses(`${folder}/big`, clock);
  } finally {
    native.close();
    await store.close();
    await Deno.remove(folder, { recursive: true });
  }
  const result = toResult(slices, store);
  return { ...result, metrics: [...result.metrics, ...pauseMetrics(pauses)] };
}

interface Pauses {
  /** Longest slice of a snapshot, by the store's own watch. */
  sliceMsMax: number;
  /** Longest the event loop was held while snapshots were taken, and without any. */
  loopMsMax: number;
  restMsMax: number;
  /** Longest a commit took while snapshots were taken, and the longest sync among it. */
  commitMsMax: number;
  syncMsMax: number;
  snapshotMs: number[];
}

/** Takes snapshots of a big store while a writer commits without a break. */
async function snapshotPauses(dir: string, clock: Clock): Promise<Pauses> {
  const store = await openStore({ dir, disk: new DenoDisk(), clock });
  const put = (i: number): StoreOp => ({
    op: "put",
    bucket: "big",
    key: `k${String(i).padStart(6, "0")}`,
    value: { i, filler: String(i).padEnd(BIG.valueBytes, "x") },
  });
  for (let i = 0; i < BIG.objects; i += 100) {
    await store.commit(Array.from({ length: 100 }, (_, j) => put(i + j)));
  }
  await store.snapshot();
  const rest = await underLoad(store, clock, put, () => clock.sleep(500));
  const snapshotMs: number[] = [];
  const busy = await underLoad(store, clock, put, async () => {
    for (let n = 0; n < BIG.snapshots; n++) {
      await store.commit([put(n)]);
      const startMs = clock.monotonicMs();
      await store.snapshot();
      snapshotMs.push(clock.monotonicMs() - startMs);
    }
  });
  const { snapshotPauseMsMax: sliceMsMax, syncMsMax } = store.stats();
  await store.close();
  return { ...busy, restMsMax: rest.loopMsMax, sliceMsMax, syncMsMax, snapshotMs };
}

/** Commits, and watches the event loop, while `work` goes on. */
async function underLoad(
  store: DurableStore,
  clock: Clock,
  put: (i: number) => StoreOp,
  work: () => Promise<void>,
): Promise<{ loopMsMax: number; commitMsMax: number }> {
  let isDone = false;
  const seen = { loopMsMax: 0, commitMsMax: 0 };
  const timed = async (what: keyof typeof seen, act: () => Promise<unknown>) => {
    while (!isDone) {
      const startMs = clock.monotonicMs();
      await act();
      seen[what] = Math.max(seen[what], clock.monotonicMs() - startMs);
    }
  };
  let i = 0;
  await Promise.all([
    timed("commitMsMax", () => store.commit([put(7 * i++ % BIG.objects)])),
    timed("loopMsMax", nextTurn),
    work().finally(() => isDone = true),
  ]);
  return seen;
}

function pauseMetrics(pauses: Pauses): Metric[] {
  const of = `of ${BIG.objects} objects of ${BIG.valueBytes} bytes`;
  return [
    { name: `snapshot ${of}`, value: median(pauses.snapshotMs), unit: "ms" },
    { name: "its longest slice", value: pauses.sliceMsMax, unit: "ms", goal: PAUSE_MS_MAX },
    {
      name: "event loop held, longest, writer beside it",
      value: pauses.loopMsMax,
      unit: "ms",
      goal: PAUSE_MS_MAX,
      beside: `without a snapshot ${pauses.restMsMax.toFixed(1)} ms`,
    },
    {
      name: "commit meanwhile, longest",
      value: pauses.commitMsMax,
      unit: "ms",
      beside: `longest write and sync ${pauses.syncMsMax.toFixed(1)} ms`,
    },
  ];
}

function toResult(
  slices: Record<"one" | "many" | "native", Slice[]>,
  store: DurableStore,
): BenchResult {
  const rate = (kind: keyof typeof slices) => median(slices[kind].map((s) => s.perSecond));
  const latency = (kind: keyof typeof slices, q: number) =>
    quantile(slices[kind].flatMap((s) => s.latenciesMs), q);
  const { commits, syncs, bytesWritten } = store.stats();
  const beside = `node:sqlite ${Math.round(rate("native"))}/s`;
  const ms = (name: string, kind: keyof typeof slices, q: number) => ({
    name,
    value: latency(kind, q),
    unit: "ms",
    beside: `node:sqlite ${latency("native", q).toFixed(2)} ms`,
  });
  return {
    bench: "store",
    metrics: [
      { name: "commits, one at a time", value: rate("one"), unit: "1/s", beside },
      { name: `commits, ${IN_FLIGHT} in flight`, value: rate("many"), unit: "1/s", beside },
      ms("commit p50, one at a time", "one", 0.5),
      ms("commit p99, one at a time", "one", 0.99),
      ms(`commit p50, ${IN_FLIGHT} in flight`, "many", 0.5),
      ms(`commit p99, ${IN_FLIGHT} in flight`, "many", 0.99),
      { name: "bytes written per commit", value: bytesWritten / commits, unit: "B" },
      { name: "commits per sync, all", value: commits / syncs, unit: "" },
    ],
    notes: {
      valueBytes: VALUE_BYTES,
      keys: KEYS,
      rounds: ROUNDS,
      nativeCommitsPerSecond: Math.round(rate("native")),
    },
  };
}

/** A record of about 300 bytes, different each time. */
function value(i: number): { i: number; filler: string } {
  return { i, filler: String(i).padEnd(VALUE_BYTES - 20, "x") };
}

async function benchStore(
  store: DurableStore,
  clock: Clock,
  commits: number,
  inFlight: number,
): Promise<Slice> {
  const latenciesMs: number[] = [];
  let next = 0;
  const worker = async () => {
    while (next < commits) {
      const i = next++;
      const startMs = clock.monotonicMs();
      await store.commit([{ op: "put", bucket: "bench", key: `k${i % KEYS}`, value: value(i) }]);
      latenciesMs.push(clock.monotonicMs() - startMs);
    }
  };
  const startMs = clock.monotonicMs();
  await Promise.all(Array.from({ length: inFlight }, worker));
  return { perSecond: commits / (clock.monotonicMs() - startMs) * 1000, latenciesMs };
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

function benchNative(db: DatabaseSync, clock: Clock): Slice {
  const put = db.prepare("INSERT OR REPLACE INTO objects VALUES(?, ?, ?)");
  const latenciesMs: number[] = [];
  const startMs = clock.monotonicMs();
  for (let i = 0; i < SLICE_COMMITS; i++) {
    const beforeMs = clock.monotonicMs();
    put.run("bench", `k${i % KEYS}`, encodeCbor(value(i)));
    latenciesMs.push(clock.monotonicMs() - beforeMs);
  }
  return { perSecond: SLICE_COMMITS / (clock.monotonicMs() - startMs) * 1000, latenciesMs };
}

if (import.meta.main) {
  const workDir = await Deno.makeTempDir({ prefix: "skerry-bench-" });
  try {
    const signal = new AbortController().signal;
    console.log(formatTable(await run({ workDir, args: Deno.args, signal })));
  } finally {
    await Deno.remove(workDir, { recursive: true });
  }
}
