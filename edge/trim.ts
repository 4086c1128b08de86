/**
 * Gives back what only the start, or a burst of work since, needed: garbage, freed but unreturned
 * heap, and the pages of the executable that were touched meanwhile. Rarely, and only when work
 * has come to rest with much more in memory than before it. Of the executable only mappings that
 * never were written are dropped, so that the kernel can bring every page back from the file, as it
 * would under memory pressure. Nothing depends on it: where a part is missing, memory stays as it
 * is.
 */
import type { Clock } from "../shared/clock.ts";
import { errorChain } from "../shared/errors.ts";
import { roomLogger } from "../shared/log.ts";

/** By then the store is read, the link is up and the pods were looked at. */
const START_MS = 15_000;

/** Between two looks at what lies in memory; so long it may serve. */
const LOOK_MS = 30_000;
/** A collection goes on in other threads: the buffers of files that were read are freed there. */
const SWEEP_MS = 500;
/** Less than this is not worth a full collection. */
const GROWN_BYTES_MIN = 6 * 1024 * 1024;
/** Between two looks at rest, it grows or shrinks by less. */
const QUIET_BYTES = 2 * 1024 * 1024;
/** From one trim to the next. */
const APART_MS = 10 * 60_000;

/** M_MMAP_THRESHOLD of mallopt(3); set, it is not adjusted any more. */
const MMAP_THRESHOLD = -3;
const LARGE_BYTES = 512 * 1024;
/** MADV_DONTNEED of madvise(2), the same number on every Linux. */
const DONT_NEED = 4;

export interface Mapping {
  address: bigint;
  bytes: bigint;
}

interface Entry extends Mapping {
  readOnly: boolean;
  file: string;
  /** Memory that the file does not hold; undefined until both of its lines were read. */
  anonymousKiB: number | undefined;
  swapKiB: number | undefined;
}

const log = roomLogger("edge", "memory");

export interface TrimOptions {
  clock: Clock;
  /** Of this process, what no file backs. */
  anonymousBytes: () => number;
  trim: () => Promise<void>;
}

/**
 * Large buffers, as of files that are read, come from the kernel and go back to it as they are
 * freed. By itself the C library learns from the first ones to keep such room in each thread, where
 * no trim reaches it. From source it does nothing, as below.
 */
export function keepNoLargeBuffers(): void {
  if (!Deno.build.standalone) return;
  try {
    const parameters = ["i32", "i32"] as const;
    const libc = Deno.dlopen("libc.so.6", { mallopt: { parameters, result: "i32" } });
    libc.symbols.mallopt(MMAP_THRESHOLD, LARGE_BYTES);
    libc.close();
  } catch (error) {
    log.debug("Cannot set up memory", { error: errorChain(error) });
  }
}

/** Trims a compiled program when it has started and after bursts; from source it does nothing. */
export async function keepTrimmed(clock: Clock, signal: AbortSignal): Promise<void> {
  if (!Deno.build.standalone) return;
  await trimWhenDue({ clock, anonymousBytes, trim: () => tryTrim(clock, signal) }, signal);
}

/** After the start, then by what has come to lie in memory since; until `signal` aborts. */
export async function trimWhenDue(options: TrimOptions, signal: AbortSignal): Promise<void> {
  const { clock, anonymousBytes, trim } = options;
  await clock.sleep(START_MS, signal);
  await trim();
  let base = anonymousBytes();
  let last = NaN;
  let nextMs = 0; // the burst a start may be in the midst of is not to wait
  while (true) {
    await clock.sleep(LOOK_MS, signal);
    const bytes = anonymousBytes();
    const isQuiet = Math.abs(bytes - last) < QUIET_BYTES;
    last = bytes;
    const nowMs = clock.monotonicMs();
    if (!isQuiet || bytes - base < GROWN_BYTES_MIN || nowMs < nextMs) continue;
    await trim();
    nextMs = nowMs + APART_MS;
    base = anonymousBytes(); // what is still in use is not tried for again and again
    last = NaN;
  }
}

/** 0 where the kernel does not say: then nothing ever grows. */
function anonymousBytes(): number {
  try {
    const status = Deno.readTextFileSync("/proc/self/status");
    return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

async function tryTrim(clock: Clock, signal: AbortSignal): Promise<void> {
  collect();
  await clock.sleep(SWEEP_MS, signal);
  try {
    const bytes = trim();
    log.debug("Trimmed memory", { executableBytes: bytes });
  } catch (error) {
    log.debug("Cannot trim memory", { error: errorChain(error) });
  }
}

function collect(): void {
  const gc: unknown = Reflect.get(globalThis, "gc"); // there with --expose-gc, which a build sets
  // the flavor that also compacts: a heap full of holes gives no pages back
  if (typeof gc === "function") gc({ type: "major", flavor: "last-resort" });
}

/**
 * Gives back what is free now; says the size of the mappings dropped. Throws where the C library
 * cannot be had.
 */
export function trim(): number {
  const libc = Deno.dlopen("libc.so.6", {
    madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
    malloc_trim: { parameters: ["usize"], result: "i32" },
  });
  try {
    libc.symbols.malloc_trim(0n);
    let bytes = 0;
    for (const mapping of cleanMappings(Deno.readTextFileSync("/proc/self/smaps"))) {
      const failed = libc.symbols.madvise(mapping.address, mapping.bytes, DONT_NEED);
      if (!failed) bytes += Number(mapping.bytes);
    }
    return bytes;
  } finally {
    libc.close();
  }
}

/**
 * From the text of /proc/self/smaps, the mappings of the executable `file` that hold nothing but
 * the file. Only its first run in the address space counts: V8 maps parts once more for itself.
 */
export function cleanMappings(smaps: string, file: string = Deno.execPath()): Mapping[] {
  const entries = parse(smaps);
  const first = entries.findIndex((entry) => entry.file === file);
  if (first < 0) return [];
  const behind = entries.findIndex((entry, index) => index > first && entry.file !== file);
  return entries.slice(first, behind < 0 ? entries.length : behind)
    // relocated pages lie in a mapping that is read-only by now, in memory or in swap
    .filter((entry) => entry.readOnly && entry.anonymousKiB === 0 && entry.swapKiB === 0)
    .map(({ address, bytes }) => ({ address, bytes }));
}

function parse(smaps: string): Entry[] {
  const entries: Entry[] = [];
  for (const line of smaps.split("\n")) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)$/.exec(line);
    if (head) {
      const [, from = "", to = "", access = "", file = ""] = head;
      const address = BigInt(`0x${from}`);
      entries.push({
        address,
        bytes: BigInt(`0x${to}`) - address,
        readOnly: /^r-.p$/.test(access),
        file,
        anonymousKiB: undefined,
        swapKiB: undefined,
      });
      continue;
    }
    const fact = /^(Anonymous|Swap): +(\d+) kB$/.exec(line);
    const entry = entries.at(-1);
    if (!fact || !entry) continue;
    entry[fact[1] === "Swap" ? "swapKiB" : "anonymousKiB"] = Number(fact[2]);
  }
  return entries;
}
