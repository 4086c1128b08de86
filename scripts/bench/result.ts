/**
 * What a bench gives and how it is shown: a table for people, one JSON line for machines. A metric
 * names its unit, and its goal and a peer's figure where there are any.
 */
export interface Metric {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** The value should be at most this (or at least, with `better: "more"`). */
  readonly goal?: number;
  readonly better?: "less" | "more";
  /** A figure to hold beside it: "KubeEdge 1.5 s". */
  readonly beside?: string;
}

export interface BenchResult {
  readonly bench: string;
  readonly metrics: readonly Metric[];
  /** Circumstances that change the figures: number of runs, versions, the disk. */
  readonly notes?: Readonly<Record<string, string | number>>;
}

export interface BenchOptions {
  /** Folder for data of this run; removed afterwards. */
  readonly workDir: string;
  /** Further words of the command line. */
  readonly args: readonly string[];
  readonly signal: AbortSignal;
}

/** What every `scripts/bench/<name>.ts` exports as `run`. */
export type Bench = (options: BenchOptions) => Promise<BenchResult>;

/** "yes", "no", or "" without a goal. */
export function reached(metric: Metric): string {
  if (metric.goal === undefined) return "";
  const good = metric.better === "more" ? metric.value >= metric.goal : metric.value <= metric.goal;
  return good ? "yes" : "no";
}

/** At most three significant digits after the point, fewer for large values. */
export function formatValue(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 3;
  return String(Number(value.toFixed(digits)));
}

export function formatTable(result: BenchResult): string {
  const rows = [["metric", "value", "unit", "goal", "reached", "beside"]];
  for (const metric of result.metrics) {
    const sign = metric.better === "more" ? ">=" : "<=";
    const goal = metric.goal === undefined ? "" : `${sign} ${formatValue(metric.goal)}`;
    const value = formatValue(metric.value);
    rows.push([metric.name, value, metric.unit, goal, reached(metric), metric.beside ?? ""]);
  }
  const widths = rows[0]?.map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0))
  );
  return rows.map((row) =>
    row.map((cell, column) => cell.padEnd(widths?.[column] ?? 0)).join("  ").trimEnd()
  ).join("\n");
}

/** Middle value; the mean of the two middle ones for an even count. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Quantile `q` (0 to 1), between neighbours by line. Throws for an empty list. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  if (low === undefined || high === undefined) {
    throw new RangeError("Cannot take a quantile: the list must not be empty");
  }
  return low + (high - low) * (at - Math.floor(at));
}
