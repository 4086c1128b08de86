/**
 * The scripted day of `crash_day.ts` with few seeds, and full disks; `deno task bench crash` runs
 * the same with many.
 */
import { assert, assertEquals } from "@std/assert";
import { AppError } from "../errors.ts";
import { SeededRandom } from "../random.ts";
import {
  checkCounts,
  checkCrash,
  commitOps,
  type Crash,
  crashDay,
  damageDay,
  noDamage,
  openDay,
  readBack,
  runDay,
} from "./crash_day.ts";
import { BulkUnderDamage } from "./bulk_damage.ts";
import { SimDisk } from "./sim_disk.ts";

const SEEDS = 4;

Deno.test("no crash at any write, sync or rename loses what was acknowledged", async () => {
  let points = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new SeededRandom(seed);
    for (const [i, crash] of (await crashDay(seed, 1)).entries()) {
      const where = `seed ${seed}, point ${i} (${crash.act})`;
      // every so often the machine also dies while it recovers
      const second: Crash[] = [];
      if (i % 16 === 0) {
        // the check itself commits one more, which may or may not have been acknowledged
        const at = { called: crash.at.called + 1, acknowledged: crash.at.acknowledged };
        crash.disk.onAct = (act) => second.push({ disk: crash.disk.crash(random), at, act });
      }
      await checkCrash(crash, where);
      points++;
      for (const again of second) {
        await checkCrash(again, `${where}, then ${again.act}`);
        points++;
      }
    }
  }
  assert(points >= 800, `too few crash points: ${points}`);
});

Deno.test("a full disk at any write costs that commit only", async () => {
  let refused = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const random = new SeededRandom(seed);
    const disk = new SimDisk();
    const store = await openDay(disk);
    let n = 0;
    for (let i = 0; i < 30; i++) {
      disk.capacityBytes = random.float() < 0.5 ? Infinity : random.float() * 60_000;
      try {
        await store.commit(commitOps(n + 1, random, store));
        n++;
      } catch (error) {
        assert(error instanceof AppError && error.code === "exhausted", String(error));
        refused++;
      }
      if (random.float() < 0.1) {
        await store.snapshot().catch((error) => assertEquals(error.code, "exhausted"));
      }
      assertEquals(readBack(store), n);
      checkCounts(store);
    }
    await store.close();
    disk.capacityBytes = Infinity;
    const again = await openDay(disk);
    assertEquals([readBack(again), again.recovery.damage, again.recovery.tornBytes], [n, [], 0]);
    checkCounts(again);
    await again.close();
  }
  assert(refused > 50, `too few refusals to mean something: ${refused}`);
});

Deno.test("every flipped bit and every cut is detected, and never served", async () => {
  const counts = noDamage();
  for (let seed = 1; seed <= 4; seed++) {
    const disk = new SimDisk();
    await runDay(disk, seed, { called: 0, acknowledged: 0 });
    const random = new SeededRandom(seed);
    for (let i = 0; i < 100; i++) await damageDay(disk, random, i % 4 === 0, counts);
  }
  assert(counts.inData >= 200, JSON.stringify(counts));
});

Deno.test("a damaged or missing bulk file is told and stops nothing else", async () => {
  const bulk = await BulkUnderDamage.make(await Deno.makeTempDir());
  const random = new SeededRandom(1);
  try {
    for (let i = 0; i < 30; i++) await bulk.tryOne(random, i);
  } finally {
    await bulk.dispose();
  }
  assert(bulk.counts.detected >= 20, JSON.stringify(bulk.counts));
});
