/**
 * One timer for all cycles of all devices: a heap of what is due when. A job is called on time and
 * must return at once; what takes long it starts elsewhere, so that nothing here can be late for
 * its sake.
 */
import { Wakeup } from "../../shared/async/wakeup.ts";
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import type { Clock } from "../../shared/clock.ts";

export interface Job {
  run(): void;
}

interface Entry {
  atMs: number;
  job: Job;
}

/** A pause without anything due; the heap wakes the loop when that changes. */
const IDLE_MS = 3_600_000;

export class Scheduler {
  readonly #clock: Clock;
  readonly #onRun: (lateMs: number) => void;
  readonly #wakeup = new Wakeup();
  readonly #heap: Entry[] = [];
  /** The entry of a job that counts; older ones in the heap are skipped. */
  readonly #current = new Map<Job, Entry>();
  #runs = 0;
  #lateMsSum = 0;
  #lateMsMax = 0;

  /** `onRun` is told how late each job was. */
  constructor(clock: Clock, onRun: (lateMs: number) => void = () => {}) {
    this.#clock = clock;
    this.#onRun = onRun;
  }

  get late(): { meanMs: number; maxMs: number } {
    const meanMs = this.#runs === 0 ? 0 : this.#lateMsSum / this.#runs;
    return { meanMs, maxMs: this.#lateMsMax };
  }

  /** Instead of any earlier time it had; by `monotonicMs`. */
  schedule(job: Job, atMs: number): void {
    if (this.#current.get(job)?.atMs === atMs) return;
    const entry = { atMs, job };
    this.#current.set(job, entry);
    push(this.#heap, entry);
    if (this.#heap[0] === entry) this.#wakeup.wake();
    // replaced entries must not pile up
    if (this.#heap.length > 2 * this.#current.size + 64) this.#compact();
  }

  cancel(job: Job): void {
    this.#current.delete(job);
  }

  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      const nowMs = this.#clock.monotonicMs();
      let next = this.#heap[0];
      while (next && next.atMs <= nowMs) {
        pop(this.#heap);
        if (this.#current.get(next.job) === next) this.#start(next);
        next = this.#heap[0];
      }
      const waitMs = next ? next.atMs - this.#clock.monotonicMs() : IDLE_MS;
      if (waitMs > 0) await waitAtMost(this.#wakeup, this.#clock, waitMs, signal);
      signal.throwIfAborted();
    }
  }

  #start({ job, atMs }: Entry): void {
    this.#current.delete(job);
    const lateMs = Math.max(0, this.#clock.monotonicMs() - atMs);
    this.#runs++;
    this.#lateMsSum += lateMs;
    this.#lateMsMax = Math.max(this.#lateMsMax, lateMs);
    this.#onRun(lateMs);
    job.run();
  }

  #compact(): void {
    this.#heap.length = 0;
    for (const entry of this.#current.values()) push(this.#heap, entry);
  }
}

function push(heap: Entry[], entry: Entry): void {
  let at = heap.push(entry) - 1;
  while (at > 0) {
    const above = (at - 1) >> 1;
    if (heap[above]!.atMs <= entry.atMs) break; // above < at: it is there
    heap[at] = heap[above]!;
    at = above;
  }
  heap[at] = entry;
}

function pop(heap: Entry[]): void {
  const last = heap.pop();
  if (!last || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let below = 2 * at + 1;
    if (below >= heap.length) break;
    if (below + 1 < heap.length && heap[below + 1]!.atMs < heap[below]!.atMs) below++;
    if (heap[below]!.atMs >= last.atMs) break; // below < length: it is there
    heap[at] = heap[below]!;
    at = below;
  }
  heap[at] = last;
}
