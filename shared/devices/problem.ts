/** One thing wrong with one field of a device or model, for whoever tells it. Pure. */

export type ProblemReason =
  | "required"
  | "invalid"
  | "unsupported"
  | "duplicate"
  | "too_long"
  | "forbidden"
  | "not_found";

export interface DeviceProblem {
  /** As users know it: "spec.properties[2].desired.value". */
  path: string;
  reason: ProblemReason;
  /** What is wrong; for "unsupported" the values that would do. */
  detail: string;
  /** What stands there; shortened where it is long. */
  value?: unknown;
  /** KubeEdge's own API takes it, and so do we: it is not acted upon, or is a mapper's affair. */
  isAdvice?: true;
}

/** The text of a plain value; "" for what has none (an object may even refuse to become one). */
export function plainText(value: unknown): string {
  return typeof value === "object" || value === undefined ? "" : String(value);
}

/** Gathers problems below one path. */
export class Problems {
  readonly found: DeviceProblem[] = [];
  #isAdvice = false;

  /** What `check` finds is no more than advice. */
  advise(check: () => void): void {
    const before = this.#isAdvice;
    this.#isAdvice = true;
    check();
    this.#isAdvice = before;
  }

  add(path: string, reason: ProblemReason, detail = "", value?: unknown): void {
    const shown = typeof value === "string" && value.length > 100
      ? `${value.slice(0, 100)}…`
      : value;
    this.found.push({
      path,
      reason,
      detail,
      ...(value === undefined ? {} : { value: shown }),
      ...(this.#isAdvice ? { isAdvice: true as const } : {}),
    });
  }

  required(path: string, detail = ""): void {
    this.add(path, "required", detail);
  }

  invalid(path: string, value: unknown, detail: string): void {
    this.add(path, "invalid", detail, value);
  }

  /** A value out of a closed list. */
  oneOf(path: string, value: unknown, supported: readonly string[]): void {
    if (supported.includes(plainText(value))) return;
    this.add(path, "unsupported", supported.map((one) => JSON.stringify(one)).join(", "), value);
  }

  /** A whole number, or a text that is one, within bounds. */
  whole(path: string, value: unknown, bounds: readonly [min: number, max: number]): void {
    const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
    const fits = typeof number === "number" && Number.isInteger(number) &&
      number >= bounds[0] && number <= bounds[1];
    if (fits) return;
    this.invalid(path, value, `must be a whole number between ${bounds[0]} and ${bounds[1]}`);
  }

  /** Manifests say -1 where nothing is to be collected by time. */
  cycle(path: string, value: number | undefined): void {
    if (value === undefined || value >= 0) return;
    this.advise(() => this.invalid(path, value, "is no cycle: what it means is up to the mapper"));
  }

  unique(values: readonly (readonly [path: string, name: string])[]): void {
    const seen = new Set<string>();
    for (const [path, name] of values) {
      if (name !== "" && seen.has(name)) this.add(path, "duplicate", "", name);
      seen.add(name);
    }
  }
}
