/**
 * `deno task bench history [RECORDS, default 1 000 000] [DEVICES, default 1 000]`: what a look at
 * the past of one device takes among that of many, on a real disk, with the index made behind the
 * records and without it. Written straight into the streams: it is reading that is measured.
 */
import { join } from "@std/path";
import { SystemClock } from "../../shared/clock.ts";
import { DevicePast } from "../../tests/support/device_past.ts";
import { percentile } from "../../tests/support/http_load.ts";
import type { BenchOptions, BenchResult, Metric } from "./result.ts";

const RECORDS = 1_000_000;
const DEVICES = 1_000;
/** One record so often. */
const EVERY_MS = 100;
const HOUR_MS = 60 * 60_000;
const LOOKS = 21;
const STRIDE = 7_919;
const BEGIN_MS = Date.UTC(2026, 0, 1);

const clock = new SystemClock();

export async function run({ workDir, args, signal }: BenchOptions): Promise<BenchResult> {
  const records = Number(args[0] ?? RECORDS);
  const devices = Number(args[1] ?? DEVICES);
  const past = await DevicePast.open(join(workDir, "store"));
  try {
    await past.fill({ records, devices, beginMs: BEGIN_MS, everyMs: EVERY_MS }, signal);
    const before = await benchLooks(past, "no index", records, devices);
    const startMs = clock.monotonicMs();
    await past.index();
    const indexS = (clock.monotonicMs() - startMs) / 1_000;
    const after = await benchLooks(past, "index", records, devices);
    const metrics = [
      ...before,
      { name: "records indexed", value: records / indexS, unit: "1/s" },
      { name: "index, of the history's bytes", value: 100 * past.indexShare, unit: "%" },
      ...after,
    ];
    return { bench: "history", metrics, notes: { records, devices, load: Deno.loadavg()[0] ?? 0 } };
  } finally {
    await past.close();
  }
}

async function benchLooks(
  past: DevicePast,
  how: string,
  records: number,
  devices: number,
): Promise<Metric[]> {
  const middleMs = BEGIN_MS + records * EVERY_MS / 2;
  const endMs = BEGIN_MS + records * EVERY_MS;
  const questions = {
    "first 1 000": {},
    "an hour": { fromMs: middleMs, toMs: middleMs + HOUR_MS },
    "last hour by step": { fromMs: endMs - HOUR_MS, stepMs: 5 * 60_000 },
  };
  const metrics: Metric[] = [];
  for (const [name, question] of Object.entries(questions)) {
    const takenMs: number[] = [];
    for (let i = 0; i < LOOKS; i++) {
      const beginMs = clock.monotonicMs();
      await past.look(i * STRIDE % devices, question);
      takenMs.push(clock.monotonicMs() - beginMs);
    }
    takenMs.sort((a, b) => a - b);
    metrics.push({ name: `${name}, ${how}: p50`, value: percentile(takenMs, 0.5), unit: "ms" });
  }
  return metrics;
}
