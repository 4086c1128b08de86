/**
 * `deno task bench disk [--minutes N] [--pods N]`: what an idle node writes to its disk, link live,
 * pods running. The data folder is an ext4 of its own where the machine can mount one, so that its
 * device counts everything the kernel writes, the file system's own journal included; beside it
 * what the kernel lays at the door of the edge process, and what the store's journal grew by.
 */
import { join } from "@std/path";
import { type Clock, SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { decodeHeader, scanSegment } from "../../shared/store/journal_format.ts";
import { parseJournalName } from "../../shared/store/names.ts";
import { decodeBatch } from "../../shared/store/records.ts";
import { BUSYBOX_IMAGE } from "../../tests/support/images.ts";
import { must, run as runCommand } from "../../tests/support/process.ts";
import { newSite, type Site } from "../../tests/support/site.ts";
import type { BenchOptions, BenchResult, Metric } from "./result.ts";

const DEFAULT_MINUTES = 10;
const DEFAULT_PODS = 20;
/** After the last pod runs: its last reports, and what the start wanted of the disk. */
const SETTLE_MS = 60_000;
const DISK_MB = 256;
const GOAL_BYTES_PER_SECOND = 200;
/** With 20 pods, its log among it. */
const PEER = "KubeEdge 4 kB/s";
const SECTOR_BYTES = 512;

const clock: Clock = new SystemClock();

/** Everything that only grows, at one moment. */
interface Count {
  atMs: number;
  processBytes: number;
  deviceBytes: number | undefined;
  logBytes: number;
  /** By kind, from the node's own metrics. */
  own: Map<string, number>;
  journal: Journal;
}

interface Journal {
  last: number;
  bytes: number;
  commits: number;
  /** Ops by bucket or stream. */
  ops: Map<string, number>;
}

export async function run({ workDir, args, signal }: BenchOptions): Promise<BenchResult> {
  const minutes = numberFlag(args, "--minutes", DEFAULT_MINUTES);
  const pods = numberFlag(args, "--pods", DEFAULT_PODS);
  const dir = join(workDir, "site");
  await Deno.mkdir(dir);
  await using site = await newSite({ dir });
  const device = await mountOwnDisk(site.edgeDir, join(workDir, "edge.img"));
  await site.startContainerd();
  await site.startCloud();
  await site.mustJoin();
  await site.startEdge();
  await site.nodeIs("True");
  const names = Array.from({ length: pods }, (_, i) => `idle-${i}`);
  for (const name of names) await site.kubectl.apply(podManifest(name));
  for (const name of names) await site.podRuns(name, 120_000);
  await clock.sleep(SETTLE_MS, signal);
  const before = await count(site, device, 0);
  await clock.sleep(minutes * 60_000, signal);
  const after = await count(site, device, before.journal.last);
  for (const name of names) await site.podRuns(name, 1_000);
  return toResult(before, after, { pods, minutes, device: device ?? "none of its own" });
}

function toResult(
  before: Count,
  after: Count,
  notes: Record<string, string | number>,
): BenchResult {
  const seconds = (after.atMs - before.atMs) / 1_000;
  const rate = (bytes: number) => bytes / seconds;
  const goal = { goal: GOAL_BYTES_PER_SECOND, beside: PEER };
  const metrics: Metric[] = [{
    name: "written, as the kernel counts for the process",
    value: rate(after.processBytes - before.processBytes),
    unit: "B/s",
    ...goal,
  }];
  if (before.deviceBytes !== undefined && after.deviceBytes !== undefined) {
    metrics.push({
      name: "written to the device, the file system's own among it",
      value: rate(after.deviceBytes - before.deviceBytes),
      unit: "B/s",
      ...goal,
    });
  }
  metrics.push(
    { name: "journal, its records", value: rate(after.journal.bytes), unit: "B/s" },
    { name: "commits", value: after.journal.commits / seconds * 60, unit: "1/min" },
    { name: "the edge's own log", value: rate(after.logBytes - before.logBytes), unit: "B/s" },
  );
  for (const [kind, bytes] of after.own) {
    const value = rate(bytes - (before.own.get(kind) ?? 0));
    metrics.push({ name: `counted by the edge: ${kind}`, value, unit: "B/s" });
  }
  for (const [bucket, ops] of [...after.journal.ops].sort((a, b) => b[1] - a[1])) {
    metrics.push({ name: `ops on ${bucket}`, value: ops / seconds * 60, unit: "1/min" });
  }
  return { bench: "disk", metrics, notes: { ...notes, seconds: Math.round(seconds) } };
}

async function count(site: Site, device: string | undefined, after: number): Promise<Count> {
  const { pid, logFile } = site.edgeProcess;
  // what waits in the page cache goes out, so that the device has been told everything
  if (device) await must("sync", ["-f", site.edgeDir]);
  return {
    atMs: clock.monotonicMs(),
    processBytes: await processBytes(pid),
    deviceBytes: device ? await deviceBytes(device) : undefined,
    logBytes: (await Deno.stat(logFile)).size,
    own: await ownCount(site),
    journal: await journalSince(join(site.edgeDir, "store"), after),
  };
}

/** What the process made the kernel write, in whole pages. */
async function processBytes(pid: number): Promise<number> {
  const text = await Deno.readTextFile(`/proc/${pid}/io`);
  return Number(/^write_bytes: (\d+)$/m.exec(text)?.[1]);
}

async function deviceBytes(device: string): Promise<number> {
  const stat = await Deno.readTextFile(`/sys/class/block/${device}/stat`);
  return Number(stat.trim().split(/\s+/)[6]) * SECTOR_BYTES;
}

async function ownCount(site: Site): Promise<Map<string, number>> {
  const text = await (await site.edge.fetch("/metrics")).text();
  const rows = text.matchAll(/^skerry_disk_written_bytes_total\{kind="(\w+)"\} (\d+)$/gm);
  return new Map([...rows].map(([, kind = "", bytes]) => [kind, Number(bytes)]));
}

/** What the journal holds behind sequence `after`. */
async function journalSince(dir: string, after: number): Promise<Journal> {
  const found: Journal = { last: after, bytes: 0, commits: 0, ops: new Map() };
  const names = (await Array.fromAsync(Deno.readDir(dir))).map((entry) => entry.name).sort();
  for (const name of names.filter((each) => parseJournalName(each))) {
    const bytes = await Deno.readFile(join(dir, name));
    if (!decodeHeader(bytes, name)) continue;
    scanSegment(bytes, (payload) => {
      const { seq, commits } = decodeBatch(payload);
      const last = seq + commits.length - 1;
      if (last <= found.last) return true;
      found.last = last;
      found.bytes += payload.length;
      found.commits += commits.length;
      for (const [, bucket] of commits.flat()) {
        found.ops.set(bucket, (found.ops.get(bucket) ?? 0) + 1);
      }
      return true;
    });
  }
  return found;
}

/** The name of the device under `dir`; undefined where this machine mounts no images. */
async function mountOwnDisk(dir: string, image: string): Promise<string | undefined> {
  await Deno.mkdir(dir, { recursive: true });
  await must("truncate", ["-s", `${DISK_MB}M`, image]);
  // lazy initialisation would write in the background while we measure
  const eager = "lazy_itable_init=0,lazy_journal_init=0";
  const made = await runCommand("mkfs.ext4", ["-q", "-F", "-E", eager, image]).catch(() => null);
  if (made?.code !== 0) return undefined;
  const mounted = await runCommand("mount", ["-o", "loop", image, dir]);
  if (mounted.code !== 0) return undefined;
  const source = (await must("findmnt", ["-n", "-o", "SOURCE", dir])).trim();
  return source.replace("/dev/", "");
}

function podManifest(name: string): object {
  const command = ["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait $!"];
  const main = { name: "main", image: BUSYBOX_IMAGE, command };
  const spec = { terminationGracePeriodSeconds: 1, containers: [main] };
  return { apiVersion: "v1", kind: "Pod", metadata: { name }, spec };
}

function numberFlag(args: readonly string[], name: string, fallback: number): number {
  const at = args.indexOf(name);
  if (at < 0) return fallback;
  const value = Number(args[at + 1]);
  if (Number.isFinite(value) && value > 0) return value;
  throw new AppError("invalid", `${name} must be a number > 0, got ${args[at + 1] ?? "nothing"}`);
}
