/**
 * The life of one simulated process. While it lives its ports work; from its end on no port ever
 * answers again, so that its code stays at the await it had come to, as that of a killed process
 * does: nothing is cleaned up, nothing is caught. `killAfter` picks that await: the n-th call of a
 * port from now.
 */
import type { Clock } from "../../shared/clock.ts";
import type { VirtualTime } from "../../shared/testing/virtual_time.ts";

export class Life {
  readonly name: string;
  readonly clock: Clock;
  readonly #time: VirtualTime;
  readonly #ended = Promise.withResolvers<void>();
  #isAlive = true;
  #callsLeft = Infinity;
  #onKilled: (() => void) | undefined;

  constructor(name: string, time: VirtualTime, wall?: { offsetMs: number }) {
    this.name = name;
    this.#time = time;
    const clock = time.clockOf(name, wall);
    this.clock = {
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs(),
      sleep: (ms, signal) => this.call(() => clock.sleep(ms, signal)),
    };
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  /** Resolves at its end. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Ends it at the `calls`-th call of a port from now, and says so. */
  killAfter(calls: number, onKilled: () => void): void {
    this.#callsLeft = calls;
    this.#onKilled = onKilled;
  }

  end(): void {
    this.#isAlive = false;
    this.#time.forget(this.name);
    this.#ended.resolve();
  }

  /** Timers that are left; a process that ended by itself leaves none. */
  get timers(): number {
    return this.#time.pending(this.name);
  }

  /** Does `work` and passes its outcome on, both only while alive. */
  async call<T>(work: () => Promise<T>): Promise<T> {
    this.#touch();
    if (!this.#isAlive) return await never();
    try {
      const value = await work();
      return this.#isAlive ? value : await never();
    } catch (error) {
      if (this.#isAlive) throw error;
      return await never();
    }
  }

  #touch(): void {
    if (!this.#isAlive || --this.#callsLeft > 0) return;
    this.end();
    this.#onKilled?.();
  }
}

/** Holds nothing and is held by nobody but who waits for it. */
function never<T>(): Promise<T> {
  return new Promise(() => {});
}
