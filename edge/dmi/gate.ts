/**
 * Calls under way at once: so many are served, so many more wait without their bodies being read
 * (HTTP/2 holds their senders back), and beyond that the answer is "exhausted". A call that holds a
 * place for too long while others wait (a sender that never ends its body) is ended.
 */
import { AppError } from "../../shared/errors.ts";

export interface GateOptions {
  servedMax: number;
  waitingMax: number;
  /** What a place may be held for while others wait. */
  heldMsMax: number;
  monotonicMs: () => number;
}

interface Holder {
  sinceMs: number;
  /** Ends the call; its place is free when it has left. */
  end: () => void;
}

export class Gate {
  readonly #options: GateOptions;
  /** In order of their coming. */
  readonly #holders = new Set<Holder>();
  #waiting: (() => void)[] = [];
  /** Places taken; one that is handed over is not free in between. */
  #taken = 0;
  #refused = 0;
  #calls = 0;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** `calls` are all that ever came, also those that were refused. */
  get counts(): { calls: number; served: number; waiting: number; refused: number } {
    const waiting = this.#waiting.length;
    return { calls: this.#calls, served: this.#taken, waiting, refused: this.#refused };
  }

  /** Resolves with what gives the place back; throws "exhausted". */
  async enter(end: () => void): Promise<() => void> {
    const { servedMax, waitingMax, monotonicMs } = this.#options;
    this.#calls++;
    if (this.#taken >= servedMax) this.#endOldest();
    if (this.#taken >= servedMax) {
      if (this.#waiting.length >= waitingMax) {
        this.#refused++;
        const max = servedMax + waitingMax;
        throw new AppError("exhausted", `Cannot take the call: calls at once must be <= ${max}`);
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#taken++;
    }
    const holder = { sinceMs: monotonicMs(), end };
    this.#holders.add(holder);
    return () => {
      if (!this.#holders.delete(holder)) return;
      const next = this.#waiting.shift();
      if (next) next();
      else this.#taken--;
    };
  }

  #endOldest(): void {
    const { heldMsMax, monotonicMs } = this.#options;
    for (const { sinceMs, end } of this.#holders) {
      if (monotonicMs() - sinceMs <= heldMsMax) return;
      end();
    }
  }
}
