/**
 * What waits in a stream is on the disk and nowhere else: a process that holds a long backlog takes
 * as much memory as one that holds a short one. Measured in processes of their own, by the kernel's
 * sums.
 */
import { assert } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { memoryOf } from "../../scripts/bench/memory.ts";
import { SystemClock } from "../../shared/clock.ts";
import { DenoDisk } from "../../shared/store/deno_disk.ts";
import { openStore } from "../../shared/store/durable_store.ts";
import type { StoreOp } from "../../shared/store/port.ts";
import { type Child, startChild } from "../support/process.ts";

const clock = new SystemClock();
const MIB = 1024 * 1024;
/** Both beyond what the journal holds: a start replays that, and takes as much for both. */
const BACKLOGS = [["short", 16 * MIB], ["long", 96 * MIB]] as const;
/** Of the 84 MB that the two differ by on the disk. */
const DIFFERENCE_MB_MAX = 20;

const at = (path: string) => JSON.stringify(new URL(`../../${path}`, import.meta.url).href);
/** Opens the store in its folder, reads a little of the backlog, and stays. */
const HOLDER = `
  import { SystemClock } from ${at("shared/clock.ts")};
  import { DenoDisk } from ${at("shared/store/deno_disk.ts")};
  import { openStore } from ${at("shared/store/durable_store.ts")};
  const clock = new SystemClock();
  const store = await openStore({ dir: Deno.args[0], disk: new DenoDisk(), clock });
  const rows = store.bulk.read("s", { limit: 128 }).length;
  console.log("held", store.bulk.stats("s").rows, rows);
  await clock.sleep(600_000);
`;

async function fill(dir: string, bytes: number): Promise<void> {
  const store = await openStore({ dir, disk: new DenoDisk(), clock });
  const value = "x".repeat(900);
  const ops: StoreOp[] = Array.from({ length: 500 }, (_, i) => ({
    op: "append",
    stream: "s",
    key: `k${i}`,
    value,
    atMs: 0,
  }));
  while (store.bulk.stats("s").bytes < bytes) await store.commit(ops);
  await store.close();
}

async function hold(dir: string, name: string, script: string): Promise<Child> {
  const config = fromFileUrl(new URL("../../deno.json", import.meta.url));
  const args = ["run", "--quiet", "--no-check", "--config", config, "--allow-all", script, dir];
  const child = await startChild({ name, command: Deno.execPath(), args, logDir: dir });
  await child.waitForLine(/^held \d+ \d+$/, 60_000);
  return child;
}

Deno.test("a long backlog adds nothing to the memory of the process that holds it", async () => {
  const dir = await Deno.makeTempDir({ prefix: "skerry-backlog-" });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const script = `${dir}/holder.ts`;
  await Deno.writeTextFile(script, HOLDER);
  const anonymousMb: number[] = [];
  for (const [name, bytes] of BACKLOGS) {
    await fill(`${dir}/${name}`, bytes);
    const child = await hold(`${dir}/${name}`, name, script);
    stack.defer(async () => void await child.stop());
    anonymousMb.push((await memoryOf(child.pid)).anonymousMb);
  }
  const [short = 0, long = Infinity] = anonymousMb;
  assert(long - short < DIFFERENCE_MB_MAX, `short: ${short} MB, long: ${long} MB`);
});
