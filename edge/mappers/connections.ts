/** What all mapped devices share: a bound on open connections, and counts. */
import { AppError } from "../../shared/errors.ts";

/** Half of what a process may usually open. */
const CONNECTIONS_MAX = 512;

export class Connections {
  reads = 0;
  writes = 0;
  skipped = 0;
  failures = 0;
  #open = 0;
  readonly #max: number;

  constructor(max = CONNECTIONS_MAX) {
    this.#max = max;
  }

  get open(): number {
    return this.#open;
  }

  take(): void {
    if (this.#open >= this.#max) {
      throw new AppError("exhausted", `Cannot connect: connections must be <= ${this.#max}`);
    }
    this.#open++;
  }

  release(): void {
    this.#open--;
  }
}
