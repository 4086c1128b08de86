/**
 * The outbox after a long night: queued telemetry on a real disk, drained into a sink in memory and
 * over the real hub and link, each cut twice on the way (the first cut is a restart of the store),
 * with exact counts at both ends; and what holding it costs a process in memory. Argument:
 * [messages, default 1 000 000].
 */
import { fromFileUrl } from "@std/path";
import { SystemClock } from "../../shared/clock.ts";
import { Backlog } from "../../tests/support/outbox_drain.ts";
import type { ReadingCounts } from "../../tests/support/link/doubles.ts";
import { enrollNode, startHub } from "../../tests/support/link/throughput.ts";
import { startChild } from "../../tests/support/process.ts";
import { type Memory, memoryOf } from "./memory.ts";
import type { BenchOptions, BenchResult, Metric } from "./result.ts";

const MESSAGES = 1_000_000;
const DRAIN_S_MAX = 60;
/** What may be on its way when the link is cut, and is sent again: in memory, over the link. */
const IN_FLIGHT_MAX = 512;
const WINDOW_MAX = 4_096;
/** A start replays the journal's last megabytes; what they leave behind is no more than this. */
const BACKLOG_MB_MAX = 20;
/** Processes measured each time: of equal ones some take 10 MB more than others. */
const HOLDERS = 5;

const CONFIG = fromFileUrl(new URL("../../deno.json", import.meta.url));
const HOLDER = fromFileUrl(new URL("../../tests/support/backlog_holder.ts", import.meta.url));

const clock = new SystemClock();

export async function run({ workDir, args, signal }: BenchOptions): Promise<BenchResult> {
  const count = Number(args[0] ?? MESSAGES);
  const memory = await inMemory(`${workDir}/a`, count);
  signal.throwIfAborted();
  const link = await overLink(workDir, count);
  return { bench: "outbox", metrics: [...memory, ...link], notes: { messages: count } };
}

async function inMemory(dir: string, count: number): Promise<Metric[]> {
  const backlog = new Backlog(dir, count);
  await backlog.open();
  const fillS = await seconds(() => backlog.fill());
  const { depth, bytesWritten } = backlog.stats();
  await backlog.close();
  const [empty, full] = [await holding(`${dir}-empty`), await holding(dir)];
  await backlog.open();
  const seen = new Uint8Array(count);
  let openMs = 0;
  const drainS = await seconds(async () => {
    await backlog.drainToMemory(seen, count * 2 / 3);
    await backlog.close();
    openMs = await backlog.open();
    await backlog.drainToMemory(seen, count / 3);
    await backlog.drainToMemory(seen, 0);
  });
  const { dropped, depth: left } = backlog.stats();
  await backlog.close();
  const missing = seen.reduce((sum, times) => sum + Number(times === 0), 0);
  const twice = seen.reduce((sum, times) => sum + Number(times > 1), 0);
  return [
    { name: "queued", value: depth, unit: "messages" },
    { name: "queueing", value: count / fillS, unit: "1/s" },
    { name: "written to disk per message queued", value: bytesWritten / count, unit: "B" },
    { name: "resident memory with nothing waiting", value: empty.rssMb, unit: "MB" },
    { name: "resident memory with all waiting", value: full.rssMb, unit: "MB" },
    {
      name: "memory of the backlog",
      value: full.anonymousMb - empty.anonymousMb,
      unit: "MB",
      goal: BACKLOG_MB_MAX,
    },
    { name: "open with two thirds waiting", value: openMs / 1000, unit: "s", goal: 2 },
    { name: "drained into memory, cut twice", value: drainS, unit: "s", goal: DRAIN_S_MAX },
    { name: "not delivered", value: missing + left, unit: "messages", goal: 0 },
    {
      name: "dropped",
      value: Object.values(dropped).reduce((sum, n) => sum + n, 0),
      unit: "messages",
      goal: 0,
    },
    { name: "sent twice", value: twice, unit: "messages", goal: 2 * IN_FLIGHT_MAX },
  ];
}

/** What a process takes that holds the store in `dir` as the edge does: the median of a few. */
async function holding(dir: string): Promise<Memory> {
  const found: Memory[] = [];
  for (let i = 0; i < HOLDERS; i++) found.push(await holdingOnce(dir, `holder-${i}`));
  return found.sort((a, b) => a.anonymousMb - b.anonymousMb)[HOLDERS >> 1]!; // there are as many
}

/** `name` is of its log, in which its own word is looked for. */
async function holdingOnce(dir: string, name: string): Promise<Memory> {
  await Deno.mkdir(dir, { recursive: true });
  const child = await startChild({
    name,
    command: Deno.execPath(),
    args: ["run", "--quiet", "--frozen", "--v8-flags=--expose-gc", "--config", CONFIG].concat(
      ["--allow-all", HOLDER, dir],
    ),
    logDir: dir,
  });
  try {
    await child.waitForLine(/^held \d+ \d+$/, 60_000);
    return await memoryOf(child.pid);
  } finally {
    await child.stop();
  }
}

async function overLink(workDir: string, count: number): Promise<Metric[]> {
  const hub = await startHub(workDir);
  try {
    const node = await enrollNode(hub.facts, "bench-1");
    const backlog = new Backlog(`${workDir}/b`, count);
    await backlog.open();
    await backlog.fill();
    const drainS = await seconds(async () => {
      await backlog.drainOverLink(hub.facts, node, count * 2 / 3);
      await backlog.close();
      await backlog.open();
      await backlog.drainOverLink(hub.facts, node, count / 3);
      await backlog.drainOverLink(hub.facts, node, 0);
    });
    const { removed, depth } = backlog.stats();
    await backlog.close();
    await hub.child.stop();
    const text = await Deno.readTextFile(`${workDir}/readings.json`);
    const readings: ReadingCounts = JSON.parse(text);
    return [
      { name: "drained over mTLS, cut twice", value: drainS, unit: "s", goal: DRAIN_S_MAX },
      {
        name: "acknowledged by the cloud",
        value: removed,
        unit: "messages",
        goal: count,
        better: "more",
      },
      { name: "left", value: depth, unit: "messages", goal: 0 },
      { name: "never applied", value: count - readings.applied, unit: "messages", goal: 0 },
      { name: "applied twice", value: readings.twice, unit: "messages", goal: 2 * WINDOW_MAX },
    ];
  } finally {
    await hub.child.stop();
  }
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const startMs = clock.monotonicMs();
  await work();
  return (clock.monotonicMs() - startMs) / 1000;
}
