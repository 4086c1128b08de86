/**
 * Lets pods end in order when the machine goes down: a lock holds the shutdown back, ordinary pods
 * end first, critical ones last, and the lock is let go as soon as all have ended or their time is
 * over. A machine without logind goes down without waiting; that is said once, and looked for again
 * now and then.
 *
 *     unwatched -> watching (lock held) -> ending (lock held) -> (released) -> watching
 */
import type { Clock } from "../../../shared/clock.ts";
import { AppError, errorChain } from "../../../shared/errors.ts";
import { roomLogger } from "../../../shared/log.ts";
import type { EndablePods, PodClass } from "../port.ts";

export interface Inhibitor {
  release(): Promise<void>;
}

export interface Logind {
  /** Resolves when logind cannot be heard any more. */
  readonly ended: Promise<void>;
  /** Asks that locks may hold back so long; gives how long they may. */
  allowDelay(delayMs: number): Promise<number>;
  inhibit(): Promise<Inhibitor>;
  /** Told true when the machine is about to go down, false when it stays up after all. */
  onPrepare(listener: (isGoingDown: boolean) => void): Promise<void>;
  close(): void;
}

export interface NodeShutdownOptions {
  /** All the time there is, and what of it is the critical pods'. */
  graceMs: number;
  criticalGraceMs: number;
  open: () => Promise<Logind>;
  pods: EndablePods;
  clock: Clock;
  /** `isGoingDown` has changed. */
  onChange: () => void;
}

const RETRY_MS = 60_000;
const LOOK_MS = 200;

export class NodeShutdown {
  readonly #options: NodeShutdownOptions;
  readonly #log = roomLogger("edge", "node", "shutdown");
  #isGoingDown = false;
  #hasComplained = false;

  constructor(options: NodeShutdownOptions) {
    this.#options = options;
  }

  get isGoingDown(): boolean {
    return this.#isGoingDown;
  }

  async run(signal: AbortSignal): Promise<void> {
    if (this.#options.graceMs <= 0) return;
    while (!signal.aborted) {
      try {
        await this.#watch(signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof AppError)) throw error;
        this.#complain(error);
      }
      await this.#options.clock.sleep(RETRY_MS, signal);
    }
  }

  #complain(error: AppError): void {
    if (this.#hasComplained) return;
    this.#hasComplained = true;
    this.#log.warn("A shutdown of this machine will not wait for its pods", {
      error: errorChain(error),
    });
  }

  /** Until logind goes away or `signal` aborts. */
  async #watch(signal: AbortSignal): Promise<void> {
    const logind = await this.#options.open();
    const onAbort = () => logind.close();
    signal.addEventListener("abort", onAbort, { once: true });
    let lock: Inhibitor | undefined;
    // of words that come together only the last counts
    let told: boolean | undefined;
    let wake = Promise.withResolvers<"told">();
    try {
      const graceMs = await this.#allowedGrace(logind);
      await logind.onPrepare((isGoingDown) => {
        told = isGoingDown;
        wake.resolve("told");
      });
      lock = await logind.inhibit();
      this.#hasComplained = false;
      this.#log.info("Pods end in order when this machine goes down", { graceMs });
      while (true) {
        if (await Promise.race([wake.promise, logind.ended]) === undefined) return;
        wake = Promise.withResolvers();
        const next = told === true;
        if (next) await this.#endPods(graceMs, signal);
        await lock?.release();
        lock = undefined;
        if (!next) {
          this.#stayUp();
          lock = await logind.inhibit();
        }
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      await lock?.release();
      logind.close();
    }
  }

  async #allowedGrace(logind: Logind): Promise<number> {
    const { graceMs } = this.#options;
    const allowedMs = await logind.allowDelay(graceMs);
    if (allowedMs >= graceMs) return graceMs;
    this.#log.warn("A shutdown is held back for less time than configured", { graceMs, allowedMs });
    return allowedMs;
  }

  async #endPods(graceMs: number, signal: AbortSignal): Promise<void> {
    const criticalMs = Math.min(this.#options.criticalGraceMs, graceMs);
    this.#isGoingDown = true;
    this.#log.warn("This machine goes down; pods are ended", { graceMs, criticalMs });
    this.#options.onChange();
    await this.#endClass("ordinary", graceMs - criticalMs, signal);
    await this.#endClass("critical", criticalMs, signal);
  }

  async #endClass(which: PodClass, graceMs: number, signal: AbortSignal): Promise<void> {
    const { pods, clock } = this.#options;
    const untilMs = clock.monotonicMs() + graceMs;
    pods.end(which, Math.floor(graceMs / 1_000));
    while (!pods.haveEnded(which) && clock.monotonicMs() < untilMs) {
      await clock.sleep(Math.min(LOOK_MS, Math.max(1, untilMs - clock.monotonicMs())), signal);
    }
  }

  #stayUp(): void {
    this.#isGoingDown = false;
    this.#log.warn("This machine stays up after all; pods run again");
    this.#options.pods.resume();
    this.#options.onChange();
  }
}
