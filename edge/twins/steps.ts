/** Reported values, thinned to one answer per property and step of time. Pure. */
import type { HistoryAnswer, StepPoint } from "./history.ts";

export const AGGREGATES = ["min", "max", "avg", "last", "count"] as const;
export type Aggregate = (typeof AGGREGATES)[number];

interface Gathered {
  atMs: number;
  property: string;
  count: number;
  numbers: number;
  min: number;
  max: number;
  sum: number;
  last: string;
}

export class Steps {
  readonly #stepMs: number;
  readonly #wanted: ReadonlySet<Aggregate>;
  readonly #steps = new Map<string, Gathered>();

  constructor(stepMs: number, aggregates: readonly Aggregate[] = AGGREGATES) {
    this.#stepMs = stepMs;
    this.#wanted = new Set(aggregates);
  }

  get size(): number {
    return this.#steps.size;
  }

  add(property: string, value: string, atMs: number): void {
    const begin = Math.floor(atMs / this.#stepMs) * this.#stepMs;
    const key = `${begin}/${property}`;
    let step = this.#steps.get(key);
    if (!step) {
      step = {
        atMs: begin,
        property,
        count: 0,
        numbers: 0,
        min: Infinity,
        max: -Infinity,
        sum: 0,
        last: value,
      };
      this.#steps.set(key, step);
    }
    step.count++;
    step.last = value;
    const number = value.trim() === "" ? NaN : Number(value);
    if (!Number.isFinite(number)) return;
    step.numbers++;
    step.min = Math.min(step.min, number);
    step.max = Math.max(step.max, number);
    step.sum += number;
  }

  /** `next` is the begin of the first step that is left out. */
  answer(limit: number): HistoryAnswer {
    const all = [...this.#steps.values()]
      .sort((a, b) => a.atMs - b.atMs || (a.property < b.property ? -1 : 1));
    if (all.length <= limit) return { points: all.map((step) => this.#toPoint(step)) };
    // whole steps only; where one alone is too many, it is cut
    const nextMs = all[limit]!.atMs;
    const whole = all.filter((step) => step.atMs < nextMs);
    const shown = whole.length > 0 ? whole : all.slice(0, limit);
    return {
      points: shown.map((step) => this.#toPoint(step)),
      next: whole.length > 0 ? nextMs : nextMs + this.#stepMs,
    };
  }

  #toPoint({ atMs, property, count, numbers, min, max, sum, last }: Gathered): StepPoint {
    const has = (aggregate: Aggregate) => this.#wanted.has(aggregate);
    return {
      kind: "step",
      atMs,
      property,
      count,
      ...(numbers > 0 && has("min") ? { min } : {}),
      ...(numbers > 0 && has("max") ? { max } : {}),
      ...(numbers > 0 && has("avg") ? { avg: sum / numbers } : {}),
      ...(has("last") ? { last } : {}),
    };
  }
}
