/**
 * The time of a simulated world: one queue of timers for everything in it, fired in order of time
 * and then of arrival, each after all that the one before set off has come to rest. In such a world
 * there is no real I/O, so one turn of the event loop is rest, and a run is the same every time.
 *
 * `clockOf` gives each machine a wall clock of its own; timers are counted by owner.
 */
// deno-lint-ignore skerry/injected-time -- a turn of the event loop, no time: what is ready runs
import { setImmediate } from "node:timers";
import type { Clock } from "../clock.ts";

/** 2026-01-01T00:00:00Z */
const START_MS = 1_767_225_600_000;
/** Fewer cancelled timers than this may lie about. */
const SWEEP_MIN = 1_000;

export interface VirtualTimer {
  readonly atMs: number;
  readonly order: number;
  readonly owner: string;
  fire: (() => void) | undefined;
}

export class VirtualTime {
  /** Never reached while the world is sound; a world that spins without time passing is not. */
  static readonly STEPS_AT_ONCE_MAX = 100_000;
  fired = 0;
  #heap: VirtualTimer[] = [];
  /** Cancelled timers that are still in the heap. */
  #cancelled = 0;
  readonly #owned = new Map<string, number>();
  #order = 0;
  #nowMs = 0;
  #stepsAtOnce = 0;

  /** Since the world began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Timers that wait, of one owner or of all. */
  pending(owner?: string): number {
    if (owner !== undefined) return this.#owned.get(owner) ?? 0;
    return this.#owned.values().reduce((sum, count) => sum + count, 0);
  }

  schedule(owner: string, delayMs: number, fire: () => void): VirtualTimer {
    const atMs = this.#nowMs + Math.max(0, delayMs);
    const timer: VirtualTimer = { atMs, order: this.#order++, owner, fire };
    this.#owned.set(owner, this.pending(owner) + 1);
    this.#push(timer);
    return timer;
  }

  cancel(timer: VirtualTimer): void {
    if (!timer.fire) return;
    this.#disown(timer);
    this.#cancelled++;
    // those far away must not gather: a watch's deadline is cancelled again and again
    if (this.#cancelled > SWEEP_MIN && 2 * this.#cancelled > this.#heap.length) this.#sweep();
  }

  /** Cancels all of an owner that is gone for good: whatever its timers hold can be let go. */
  forget(owner: string): void {
    for (const timer of this.#heap) if (timer.owner === owner) this.#disown(timer);
    this.#owned.delete(owner);
    this.#sweep();
  }

  #disown(timer: VirtualTimer): void {
    timer.fire = undefined;
    const left = this.pending(timer.owner) - 1;
    if (left > 0) this.#owned.set(timer.owner, left);
    else this.#owned.delete(timer.owner);
  }

  /** Order is whole after it, because it is one of time and number alone. */
  #sweep(): void {
    const waiting = this.#heap.filter((timer) => timer.fire !== undefined);
    this.#heap = [];
    this.#cancelled = 0;
    for (const timer of waiting) this.#push(timer);
  }

  /** A clock whose timers belong to `owner`; `wall` is the offset of its machine's wall clock. */
  clockOf(owner: string, wall: { offsetMs: number } = { offsetMs: 0 }): Clock {
    return {
      nowMs: () => START_MS + wall.offsetMs + this.#nowMs,
      monotonicMs: () => this.#nowMs,
      sleep: (ms, signal) => this.sleep(owner, ms, signal),
    };
  }

  sleep(owner: string, ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.cancel(timer);
        reject(signal?.reason);
      };
      const timer = this.schedule(owner, ms, () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Lets everything that is ready run. */
  settle(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** Moves time by `ms`, firing what falls due on the way. */
  async advance(ms: number): Promise<void> {
    const targetMs = this.#nowMs + ms;
    await this.until(() => false, ms);
    this.#nowMs = Math.max(this.#nowMs, targetMs);
  }

  /** Moves time until `state` holds, at most by `withinMs`; says whether it does. */
  async until(state: () => boolean, withinMs: number): Promise<boolean> {
    const targetMs = this.#nowMs + withinMs;
    for (;;) {
      await this.settle();
      if (state()) return true;
      const next = this.#pop(targetMs);
      if (!next) return false;
      this.#stepsAtOnce = next.atMs === this.#nowMs ? this.#stepsAtOnce + 1 : 0;
      if (this.#stepsAtOnce > VirtualTime.STEPS_AT_ONCE_MAX) {
        throw new Error(`Time stands still at ${this.#nowMs}: ${next.owner} goes round in circles`);
      }
      this.#nowMs = next.atMs;
      const { fire } = next;
      this.#disown(next);
      this.fired++;
      fire?.();
    }
  }

  #push(timer: VirtualTimer): void {
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (before(heap[parent]!, timer)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = timer;
  }

  /** The next timer that was not cancelled, if it is due by `targetMs`. */
  #pop(targetMs: number): VirtualTimer | undefined {
    const heap = this.#heap;
    for (let first = heap[0]; first; first = heap[0]) {
      if (first.fire && first.atMs > targetMs) return undefined;
      this.#removeFirst();
      if (first.fire) return first;
      this.#cancelled--;
    }
    return undefined;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop()!; // there is a first
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (before(last, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function before(a: VirtualTimer, b: VirtualTimer): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
