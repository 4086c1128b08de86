/**
 * A virtual clock for tests and simulation: time stands still until `advance` moves it, timer by
 * timer, letting everything that is ready run in between. Real I/O (files) still takes real time,
 * so `until` waits for a state, moving virtual time only when nothing else moves.
 */
// deno-lint-ignore skerry/injected-time -- a turn of the event loop, no time: what is ready runs
import { setImmediate } from "node:timers";
import { type Clock, SystemClock } from "../clock.ts";

function oneTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

interface Timer {
  atMs: number;
  order: number;
  fire: () => void;
}

export interface UntilOptions {
  /** Virtual time it may take. */
  withinMs?: number;
  what?: string;
}

/** 2026-01-01T00:00:00Z */
const START_MS = 1_767_225_600_000;
/** Rounds between two timers, each with one real timer: enough for a chain of file operations. */
const ROUNDS = 2;
/** Turns of the event loop in a round; a turn costs microseconds, a real timer two milliseconds. */
const TURNS_PER_ROUND = 25;
const WITHIN_MS_DEFAULT = 60_000;

export class SimClock implements Clock {
  readonly #real = new SystemClock();
  #timers: Timer[] = [];
  #order = 0;
  #elapsedMs = 0;
  #wallOffsetMs: number;

  constructor(startMs = START_MS) {
    this.#wallOffsetMs = startMs;
  }

  nowMs(): number {
    return this.#wallOffsetMs + this.#elapsedMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  /** Moves the wall clock alone, as an operator or NTP does. */
  jumpWall(ms: number): void {
    this.#wallOffsetMs += ms;
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#timers.length;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (ms <= 0) return this.#real.sleep(0, signal);
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#timers = this.#timers.filter((each) => each !== timer);
        reject(signal?.reason);
      };
      const timer: Timer = {
        atMs: this.#elapsedMs + ms,
        order: this.#order++,
        fire: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      this.#timers.push(timer);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Lets everything that is ready run; virtual time stands still. */
  async settle(rounds = ROUNDS): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < TURNS_PER_ROUND; i++) await oneTurn();
      await this.#real.sleep(0);
    }
  }

  /** Moves time by `ms`, firing what falls due on the way in order. */
  async advance(ms: number): Promise<void> {
    const targetMs = this.#elapsedMs + ms;
    await this.settle();
    while (this.#fireNext(targetMs)) await this.settle();
    this.#elapsedMs = Math.max(this.#elapsedMs, targetMs);
    await this.settle();
  }

  /** Waits for `state` to be truthy, moving virtual time when nothing happens without. */
  async until<T>(state: () => T, options: UntilOptions = {}): Promise<NonNullable<T>> {
    const targetMs = this.#elapsedMs + (options.withinMs ?? WITHIN_MS_DEFAULT);
    for (;;) {
      const found = state();
      if (found) return found;
      await this.settle();
      const settled = state();
      if (settled) return settled;
      // Some real time for what the disk still owes, before virtual time moves.
      await this.settle(2 * ROUNDS);
      const late = state();
      if (late) return late;
      if (!this.#fireNext(targetMs)) break;
    }
    throw new Error(
      `Never came true within ${options.withinMs ?? WITHIN_MS_DEFAULT} ms: ${
        options.what ?? state.toString()
      }`,
    );
  }

  #fireNext(targetMs: number): boolean {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (
        !next || timer.atMs < next.atMs || (timer.atMs === next.atMs && timer.order < next.order)
      ) {
        next = timer;
      }
    }
    if (!next || next.atMs > targetMs) return false;
    this.#timers = this.#timers.filter((each) => each !== next);
    this.#elapsedMs = Math.max(this.#elapsedMs, next.atMs);
    next.fire();
    return true;
  }
}
