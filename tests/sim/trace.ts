/**
 * What happened, in order: a running hash (two runs of a seed must agree on it), counters for the
 * summary, and the last lines for whoever looks into a violation.
 */
import { createHash } from "node:crypto";

const LINES_KEPT = 400;

export class Trace {
  readonly counts = new Map<string, number>();
  readonly highest = new Map<string, number>();
  readonly violations: string[] = [];
  /** Every line as it comes; for debugging a seed. */
  onLine: ((line: string) => void) | undefined;
  readonly #hash = createHash("sha256");
  readonly #nowMs: () => number;
  readonly #recent: string[] = [];
  #digest: string | undefined;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  add(kind: string, detail: string): void {
    const line = `${this.#nowMs().toFixed(3)} ${kind} ${detail}`;
    this.#hash.update(line + "\n");
    this.#recent.push(line);
    if (this.#recent.length > 2 * LINES_KEPT) this.#recent.splice(0, LINES_KEPT);
    this.onLine?.(line);
  }

  count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by);
  }

  /** The highest of what is told. */
  max(what: string, value: number): void {
    this.highest.set(what, Math.max(this.highest.get(what) ?? 0, value));
  }

  violate(rule: string, detail: string): void {
    this.violations.push(`${rule}: ${detail}`);
    this.add("VIOLATION", `${rule}: ${detail}`);
  }

  get recent(): readonly string[] {
    return this.#recent.slice(-LINES_KEPT);
  }

  /** The hash of everything; nothing can be added after it was asked for. */
  digest(): string {
    return this.#digest ??= this.#hash.digest("hex");
  }
}
