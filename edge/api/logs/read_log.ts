/**
 * `kubectl logs` over a container's log file: tail, since, limit, timestamps, follow. The reader
 * pulls, so a slow client holds back the file and never fills memory. A follower ends at the end of
 * the file once the container has ended, and goes over to the new file when the log was rotated.
 */
import type { Clock } from "../../../shared/clock.ts";
import { AppError } from "../../../shared/errors.ts";
import type { ContainerLog } from "../port.ts";
import { parseCriLine, toNanoTimestamp } from "./cri_line.ts";
import { readAt, tailOffset } from "./tail_offset.ts";

export interface LogOptions {
  follow: boolean;
  timestamps: boolean;
  tailLines?: number;
  limitBytes?: number;
  /** Only lines at or after this, ms since 1970. */
  sinceMs?: number;
  stream?: "stdout" | "stderr";
}

const READ_BYTES = 64 * 1024;
/** A longer line is passed on in pieces: runtimes break lines at 16 KiB, this is 16 times that. */
const LINE_BYTES_MAX = 256 * 1024;
/** How often a follower looks for new lines. */
const FOLLOW_POLL_MS = 200;
const NEWLINE = 0x0a;

/** The chosen part of the log as bytes for the client. */
export async function* readLog(
  log: ContainerLog,
  options: LogOptions,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let file = await open(log.path);
  try {
    const formatter = new LineFormatter(options);
    const { size } = await file.stat();
    let offset = options.tailLines === undefined
      ? 0
      : await tailOffset(file, size, options.tailLines);
    // who does not follow is answered with what there was when they asked: the last lines are as
    // many as were wanted, and a container that writes faster than is read cannot hold them
    const end = options.follow ? Infinity : size;
    const buffer = new Uint8Array(READ_BYTES);
    while (!signal.aborted) {
      // asked before reading: what the container wrote before it ended is then surely read
      const running = options.follow && await log.running();
      const count = await readAt(file, offset, buffer.subarray(0, end - offset));
      offset += count;
      const out = formatter.push(buffer.subarray(0, count));
      if (out.length > 0) yield out;
      if (formatter.exhausted) return;
      if (count > 0) continue;
      if (!running) break;
      const replaced = await reopenIfReplaced(file, log.path, offset);
      if (replaced) {
        file.close();
        file = replaced;
        offset = 0;
        continue;
      }
      await clock.sleep(FOLLOW_POLL_MS, signal);
    }
    const rest = formatter.flush();
    if (rest.length > 0) yield rest;
  } finally {
    file.close();
  }
}

async function open(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path);
  } catch (cause) {
    throw new AppError("not_found", `Cannot read container log ${path}`, { path }, { cause });
  }
}

/** The new file when `path` no longer names the one that is open, or it was cut short. */
async function reopenIfReplaced(
  file: Deno.FsFile,
  path: string,
  offset: number,
): Promise<Deno.FsFile | undefined> {
  try {
    const [now, then] = [await Deno.stat(path), await file.stat()];
    if (now.ino === then.ino && now.size >= offset) return undefined;
    return await Deno.open(path);
  } catch {
    // Between rename and re-open by the runtime there is no file; the next look finds it.
    return undefined;
  }
}

/** Cuts bytes into lines and formats those the options choose. */
class LineFormatter {
  readonly #options: LogOptions;
  readonly #encoder = new TextEncoder();
  #pending = new Uint8Array(0);
  #leftBytes: number;
  #midLine = false;

  constructor(options: LogOptions) {
    this.#options = options;
    this.#leftBytes = options.limitBytes ?? Infinity;
  }

  get exhausted(): boolean {
    return this.#leftBytes <= 0;
  }

  push(bytes: Uint8Array): Uint8Array {
    const parts: Uint8Array[] = [];
    let rest = this.#pending.length > 0 ? concat([this.#pending, bytes]) : bytes;
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      this.#add(parts, rest.subarray(0, end));
      rest = rest.subarray(end + 1);
    }
    if (rest.length > LINE_BYTES_MAX) {
      this.#add(parts, rest);
      rest = rest.subarray(rest.length);
    }
    this.#pending = rest.slice();
    return concat(parts);
  }

  flush(): Uint8Array {
    const parts: Uint8Array[] = [];
    if (this.#pending.length > 0) this.#add(parts, this.#pending);
    this.#pending = new Uint8Array(0);
    return concat(parts);
  }

  #add(parts: Uint8Array[], raw: Uint8Array): void {
    const line = parseCriLine(raw);
    if (!line || (this.#options.stream && line.stream !== this.#options.stream)) return;
    const { sinceMs } = this.#options;
    if (sinceMs !== undefined && Date.parse(line.timestamp) < sinceMs) return;
    if (this.#options.timestamps && !this.#midLine) {
      this.#take(parts, this.#encoder.encode(toNanoTimestamp(line.timestamp) + " "));
    }
    this.#take(parts, line.content);
    this.#midLine = line.partial;
    if (!line.partial) this.#take(parts, this.#encoder.encode("\n"));
  }

  #take(parts: Uint8Array[], bytes: Uint8Array): void {
    if (this.#leftBytes <= 0) return;
    const cut = bytes.length > this.#leftBytes ? bytes.subarray(0, this.#leftBytes) : bytes;
    this.#leftBytes -= cut.length;
    parts.push(cut);
  }
}

function concat(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
