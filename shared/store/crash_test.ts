/**
 * Every write, sync, rename and removal of a scripted day is a crash point: the disk a power cut
 * might leave there is opened again and held against what had been acknowledged.
 */
import { assert, assertEquals } from "@std/assert";
import { SystemClock } from "../clock.ts";
import { AppError } from "../errors.ts";
import { SeededRandom } from "../random.ts";
import { openStore } from "./durable_store.ts";
import type { Store, StoreOp } from "./port.ts";
import { SimDisk } from "./sim_disk.ts";

const DAY_COMMITS = 40;
const SEEDS = 8;
/** Crash outcomes tried per point: which unsynced writes survive, and how torn. */
const OUTCOMES = 2;
const LIMITS = { journalChunkBytes: 1024, snapshotAfterBytes: 20_000 };

const open = (disk: SimDisk) =>
  openStore({ dir: "/s", disk, clock: new SystemClock(), limits: LIMITS });

/**
 * Commit `n` writes the same number under every key of its own pair, counts in "n", and leaves a
 * long value now and then; a half commit shows as an odd one out.
 */
function commitOps(n: number, random: SeededRandom): StoreOp[] {
  const pair = n % 7;
  const filler = "x".repeat(Math.floor(random.float() ** 4 * 3000));
  return [
    { op: "put", bucket: "day", key: "n", value: n },
    { op: "put", bucket: "day", key: `left${pair}`, value: { n, filler } },
    { op: "put", bucket: "day", key: `right${pair}`, value: { n } },
    { op: "put", bucket: "log", key: String(n).padStart(4, "0"), value: n },
    { op: "delete", bucket: "log", key: String(n - 20).padStart(4, "0") },
  ];
}

/** Commits so far, by what is readable; checks that none is there by half and none is missing. */
function readBack(store: Store): number {
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

interface Progress {
  called: number;
  acknowledged: number;
}

async function runDay(disk: SimDisk, seed: number, progress: Progress): Promise<void> {
  const random = new SeededRandom(seed);
  let store = await open(disk);
  const inFlight: Promise<void>[] = [];
  while (progress.called < DAY_COMMITS) {
    const n = ++progress.called;
    inFlight.push(
      store.commit(commitOps(n, random)).then(() => {
        assertEquals(progress.acknowledged, n - 1);
        progress.acknowledged = n;
      }),
    );
    const dice = random.float();
    if (dice < 0.5) await Promise.all(inFlight);
    if (dice < 0.08) await store.snapshot();
    if (dice > 0.95) {
      await store.close();
      store = await open(disk);
    }
  }
  await Promise.all(inFlight);
  await store.close();
}

async function checkCrash(disk: SimDisk, at: Progress, where: string): Promise<void> {
  const store = await open(disk);
  try {
    assertEquals(store.recovery.damage, [], `a crash is not damage: ${where}`);
    const n = readBack(store);
    assert(n >= at.acknowledged, `${where}: acknowledged ${at.acknowledged}, found ${n}`);
    assert(n <= at.called, `${where}: called ${at.called}, found ${n}`);
    await store.commit(commitOps(n + 1, new SeededRandom(n)));
    assertEquals(readBack(store), n + 1);
  } finally {
    await store.close();
  }
}

Deno.test("no crash at any write, sync or rename loses what was acknowledged", async () => {
  let points = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new SeededRandom(seed * 1000);
    const progress: Progress = { called: 0, acknowledged: 0 };
    const crashed: { disk: SimDisk; at: Progress; act: string }[] = [];
    const disk = new SimDisk({
      onAct: (act) => {
        for (let i = 0; i < OUTCOMES; i++) {
          crashed.push({ disk: disk.crash(random), at: { ...progress }, act });
        }
      },
    });
    await runDay(disk, seed, progress);
    assertEquals(progress.acknowledged, DAY_COMMITS);
    for (const [i, crash] of crashed.entries()) {
      const where = `seed ${seed}, point ${i} (${crash.act})`;
      // every so often the machine also dies while it recovers
      const second: { disk: SimDisk; act: string }[] = [];
      if (i % 16 === 0) {
        crash.disk.onAct = (act) => second.push({ disk: crash.disk.crash(random), act });
      }
      await checkCrash(crash.disk, crash.at, where);
      points++;
      for (const again of second) {
        // the check itself commits one more, which may or may not have been acknowledged
        const at = { called: crash.at.called + 1, acknowledged: crash.at.acknowledged };
        await checkCrash(again.disk, at, `${where}, then ${again.act}`);
        points++;
      }
    }
  }
  assert(points >= 2000, `too few crash points: ${points}`);
  console.log(`  ${points} crash points`);
});

Deno.test("a full disk at any write costs that commit only", async () => {
  let refused = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const random = new SeededRandom(seed);
    const disk = new SimDisk();
    const store = await open(disk);
    let n = 0;
    for (let i = 0; i < 30; i++) {
      disk.capacityBytes = random.float() < 0.5 ? Infinity : random.float() * 40_000;
      try {
        await store.commit(commitOps(n + 1, random));
        n++;
      } catch (error) {
        assert(error instanceof AppError && error.code === "exhausted", String(error));
        refused++;
      }
      if (random.float() < 0.1) {
        await store.snapshot().catch((error) => assertEquals(error.code, "exhausted"));
      }
      assertEquals(readBack(store), n);
    }
    await store.close();
    disk.capacityBytes = Infinity;
    const again = await open(disk);
    assertEquals([readBack(again), again.recovery.damage, again.recovery.tornBytes], [n, [], 0]);
    await again.close();
  }
  assert(refused > 50, `too few refusals to mean something: ${refused}`);
});

Deno.test("every flipped bit and every cut is detected, and never served", async () => {
  const counts = { flips: 0, cuts: 0, inData: 0, lossless: 0 };
  for (let seed = 1; seed <= 4; seed++) {
    const disk = new SimDisk();
    await runDay(disk, seed, { called: 0, acknowledged: 0 });
    const random = new SeededRandom(seed);
    for (let i = 0; i < 150; i++) {
      const broken = disk.copy();
      const files = broken.files();
      const path = files[Math.floor(random.float() * files.length)]!;
      const bytes = await broken.read(path);
      const size = bytes.length;
      const cut = i % 4 === 0;
      const at = Math.floor(random.float() * size * (cut ? 1 : 8));
      if (cut) broken.cut(path, at);
      else broken.flipBit(path, at);
      const what = `seed ${seed}, try ${i}: ${cut ? "cut" : "flip"} ${path} at ${at} of ${size}`;
      cut ? counts.cuts++ : counts.flips++;
      // behind its last record a journal is zeros, which hold nothing
      const inData = (cut ? at : at >> 3) <= bytes.findLastIndex((b) => b !== 0);
      if (inData) counts.inData++;
      await checkDamaged(broken, what, inData, counts);
    }
  }
  console.log(`  ${JSON.stringify(counts)}`);
  assert(counts.inData >= 300);
});

async function checkDamaged(
  disk: SimDisk,
  what: string,
  inData: boolean,
  counts: { lossless: number },
): Promise<void> {
  const store = await open(disk);
  const { damage, tornBytes } = store.recovery;
  const n = readBack(store);
  if (n === DAY_COMMITS) counts.lossless++;
  if (inData || n < DAY_COMMITS) {
    assert(damage.length > 0 || tornBytes > 0, `not detected: ${what}`);
  }
  // a new commit gets a sequence that no lost one had
  const sequence = await store.commit(commitOps(n + 1, new SeededRandom(n)));
  if (n < DAY_COMMITS) assert(sequence > DAY_COMMITS, `${what}: sequence ${sequence} used twice`);
  await store.close();
  const again = await open(disk);
  assertEquals(readBack(again), n + 1, what);
  assertEquals(
    [again.recovery.damage, again.recovery.tornBytes],
    [[], 0],
    `reported once: ${what}`,
  );
  await again.close();
}
