/**
 * A scripted day of a store and the checks of what a crash or damage leaves of it; for
 * `crash_test.ts` and `deno task bench crash`. Every write, sync, rename and removal of the day,
 * those of the bulk file among them, is a crash point: the disk a power cut might leave there is
 * opened again and held against what had been acknowledged.
 */
import { assert, assertEquals } from "@std/assert";
import { type Clock, SystemClock } from "../clock.ts";
import { type Random, SeededRandom } from "../random.ts";
import { openStore } from "./durable_store.ts";
import { BULK_NAME } from "./names.ts";
import type { Store, StoreOp } from "./port.ts";
import { SimDisk } from "./sim_disk.ts";

export const DAY_COMMITS = 40;
const LIMITS = {
  journalChunkBytes: 1024,
  snapshotAfterBytes: 20_000,
  // a page: commits come in the middle of each copy
  snapshotSliceBytes: 1,
  bulkFlushBytes: 1_500,
};
/** Commits after which records of a stream are removed. */
const HELD_COMMITS = 12;
const STREAM = "readings";

export interface Progress {
  called: number;
  acknowledged: number;
}

export interface Crash {
  disk: SimDisk;
  at: Progress;
  act: string;
}

export const openDay = (disk: SimDisk) =>
  openStore({ dir: "/s", disk, clock: new SystemClock(), limits: LIMITS });

const recordsOf = (n: number) => n % 4;

/**
 * Commit `n` writes the same number under every key of its own pair, counts in "n", leaves a long
 * value now and then, appends some records and removes old ones; a half commit shows as an odd one
 * out.
 */
export function commitOps(n: number, random: Random, store: Store): StoreOp[] {
  const pair = n % 7;
  const filler = "x".repeat(Math.floor(random.float() ** 4 * 3000));
  const old = store.bulk.read<number>(STREAM, { limit: 100 })
    .filter((record) => record.value <= n - HELD_COMMITS).map((record) => record.id);
  return [
    { op: "put", bucket: "day", key: "n", value: n },
    { op: "put", bucket: "day", key: `left${pair}`, value: { n, filler } },
    { op: "put", bucket: "day", key: `right${pair}`, value: { n } },
    { op: "put", bucket: "log", key: String(n).padStart(4, "0"), value: n },
    { op: "delete", bucket: "log", key: String(n - 20).padStart(4, "0") },
    ...Array.from({ length: recordsOf(n) }, (_, i): StoreOp => ({
      op: "append",
      stream: STREAM,
      key: `${n}.${i}${"y".repeat(n)}`,
      value: n,
      atMs: n,
    })),
    { op: "remove", stream: STREAM, ids: old },
  ];
}

/** Commits so far, by what is readable; checks that none is there by half and none is missing. */
export function readBack(store: Store): number {
  const n = store.get<number>("day", "n") ?? 0;
  for (let pair = 0; pair < 7; pair++) {
    const left = store.get<{ n: number }>("day", `left${pair}`)?.n;
    assertEquals(store.get<{ n: number }>("day", `right${pair}`)?.n, left);
    const last = n - ((n - pair) % 7 + 7) % 7;
    assertEquals(left, last > 0 ? last : undefined);
  }
  const first = Math.max(1, n - 19);
  const log = store.list<number>("log").map((row) => row.value);
  assertEquals(log, Array.from({ length: n - first + 1 }, (_, i) => first + i));
  return n;
}

/** Whatever happened: what is held can be read, and every record has one fate. */
export function checkCounts(store: Store): { appended: number; keys: string[] } {
  const records = store.bulk.read<number>(STREAM, { limit: 1_000 });
  const { rows, appended, removed, dropped } = store.bulk.stats(STREAM);
  assertEquals(rows, records.length);
  const gone = Object.values(dropped).reduce((sum, count) => sum + count, 0);
  assertEquals(appended, rows + removed + gone, JSON.stringify(dropped));
  for (const { key, value } of records) assert(key.startsWith(`${value}.`), key);
  const keys = records.map((record) => record.key.replace(/y*$/, ""));
  return { appended, keys };
}

/** After `n` commits none of the younger records is missing, and all are counted. */
function checkRecords(store: Store, n: number): void {
  const { appended, keys } = checkCounts(store);
  let expected = 0;
  for (let i = 1; i <= n; i++) expected += recordsOf(i);
  assertEquals(appended, expected);
  assertEquals(store.bulk.stats(STREAM).dropped, {});
  const held = new Set(keys);
  assertEquals(held.size, keys.length, "no record is there twice");
  for (let i = Math.max(1, n - HELD_COMMITS + 1); i <= n; i++) {
    for (let j = 0; j < recordsOf(i); j++) assert(held.has(`${i}.${j}`), `record ${i}.${j}`);
  }
}

export async function runDay(disk: SimDisk, seed: number, progress: Progress): Promise<void> {
  const random = new SeededRandom(seed);
  let store = await openDay(disk);
  const inFlight: Promise<void>[] = [];
  while (progress.called < DAY_COMMITS) {
    const n = ++progress.called;
    inFlight.push(
      store.commit(commitOps(n, random, store)).then(() => {
        assertEquals(progress.acknowledged, n - 1);
        progress.acknowledged = n;
      }),
    );
    const dice = random.float();
    if (dice < 0.5) await Promise.all(inFlight);
    if (dice < 0.08) await store.snapshot();
    if (dice > 0.95) {
      await store.close();
      store = await openDay(disk);
    }
  }
  await Promise.all(inFlight);
  await store.close();
}

/** A day with `outcomes` crashed disks per act. */
export async function crashDay(seed: number, outcomes: number): Promise<Crash[]> {
  const random = new SeededRandom(seed * 1000);
  const progress: Progress = { called: 0, acknowledged: 0 };
  const crashes: Crash[] = [];
  const disk: SimDisk = new SimDisk({
    onAct: (act) => {
      for (let i = 0; i < outcomes; i++) {
        crashes.push({ disk: disk.crash(random), at: { ...progress }, act });
      }
    },
  });
  await runDay(disk, seed, progress);
  assertEquals(progress.acknowledged, DAY_COMMITS);
  return crashes;
}

/** Opens what the crash left, checks it and goes on; returns how long opening took. */
export async function checkCrash(
  { disk, at }: Crash,
  where: string,
  clock: Clock = new SystemClock(),
): Promise<number> {
  const startMs = clock.monotonicMs();
  const store = await openDay(disk);
  const openMs = clock.monotonicMs() - startMs;
  try {
    assertEquals(store.recovery.damage, [], `a crash is not damage: ${where}`);
    const n = readBack(store);
    assert(n >= at.acknowledged, `${where}: acknowledged ${at.acknowledged}, found ${n}`);
    assert(n <= at.called, `${where}: called ${at.called}, found ${n}`);
    checkRecords(store, n);
    await store.commit(commitOps(n + 1, new SeededRandom(n), store));
    assertEquals(readBack(store), n + 1);
    checkRecords(store, n + 1);
  } finally {
    await store.close();
  }
  return openMs;
}

export interface DamageCounts {
  flips: number;
  cuts: number;
  inData: number;
  detected: number;
  lossless: number;
}

export const noDamage = (): DamageCounts => ({
  flips: 0,
  cuts: 0,
  inData: 0,
  detected: 0,
  lossless: 0,
});

/** Flips a bit of a file of a finished day or cuts it, and checks that it shows. */
export async function damageDay(
  day: SimDisk,
  random: Random,
  cut: boolean,
  counts: DamageCounts,
): Promise<void> {
  const disk = day.copy();
  // the simulated bulk file is not SQLite's: `bulk_damage.ts` damages the real one
  const files = disk.files().filter((path) => !path.endsWith(BULK_NAME));
  const path = files[Math.floor(random.float() * files.length)]!;
  const bytes = await disk.read(path);
  const at = Math.floor(random.float() * bytes.length * (cut ? 1 : 8));
  if (cut) disk.cut(path, at);
  else disk.flipBit(path, at);
  const what = `${cut ? "cut" : "flip"} ${path} at ${at} of ${bytes.length}`;
  cut ? counts.cuts++ : counts.flips++;
  // behind its last record a journal is zeros, which hold nothing
  const inData = (cut ? at : at >> 3) <= bytes.findLastIndex((b) => b !== 0);
  if (inData) counts.inData++;
  await checkDamaged(disk, what, inData, counts);
}

async function checkDamaged(
  disk: SimDisk,
  what: string,
  inData: boolean,
  counts: DamageCounts,
): Promise<void> {
  const store = await openDay(disk);
  const { damage, tornBytes } = store.recovery;
  const n = readBack(store);
  checkCounts(store);
  if (n === DAY_COMMITS) counts.lossless++;
  const detected = damage.length > 0 || tornBytes > 0;
  if (detected) counts.detected++;
  if (inData || n < DAY_COMMITS) assert(detected, `not detected: ${what}`);
  // a new commit gets a sequence that no lost one had
  const sequence = await store.commit(commitOps(n + 1, new SeededRandom(n), store));
  if (n < DAY_COMMITS) assert(sequence > DAY_COMMITS, `${what}: sequence ${sequence} used twice`);
  await store.close();
  const again = await openDay(disk);
  assertEquals(readBack(again), n + 1, what);
  checkCounts(again);
  assertEquals(
    [again.recovery.damage, again.recovery.tornBytes],
    [[], 0],
    `reported once: ${what}`,
  );
  await again.close();
}
