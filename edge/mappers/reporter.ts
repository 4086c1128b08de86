/**
 * What a device said last, on its way to the twins: the latest value of each property, told when it
 * is due, and what is in the way of one.
 */
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, isAppError } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { DeviceName, ReportedValue, Twins } from "../twins/port.ts";
import type { Reading } from "./port.ts";

/** Where a property is in trouble: it is not read, not written, or its value not taken. */
export type ProblemOf = "read" | "write" | "report";

export interface ReporterOptions {
  device: DeviceName;
  twins: Pick<Twins, "report" | "reportState" | "get">;
  clock: Clock;
}

/** Of an error text shown for one property. */
const REASON_CHARS_MAX = 300;

const log = roomLogger("mappers");

export class Reporter {
  readonly #options: ReporterOptions;
  readonly #latest = new Map<string, string>();
  readonly #due = new Set<string>();
  readonly #problems = {
    read: new Map<string, string>(),
    write: new Map<string, string>(),
    report: new Map<string, string>(),
  };
  #readAtMs = 0;

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  get problems(): Record<string, string> {
    const { report, write, read } = this.#problems;
    return Object.fromEntries([...report, ...write, ...read]);
  }

  troubles(): { of: ProblemOf; property: string; text: string }[] {
    const { read, write, report } = this.#problems;
    if (read.size + write.size + report.size === 0) return [];
    return (["read", "write", "report"] as const).flatMap((of) =>
      [...this.#problems[of]].map(([property, text]) => ({ of, property, text }))
    );
  }

  take(property: string, reading: Reading): void {
    if (typeof reading === "string") {
      this.#latest.set(property, reading);
      this.solved("read", property);
      this.#readAtMs = this.#options.clock.nowMs();
    } else {
      this.#latest.delete(property);
      this.problem("read", property, errorChain(reading));
    }
  }

  /** What was read last, on this connection. */
  latest(property: string): string | undefined {
    return this.#latest.get(property);
  }

  problem(of: ProblemOf, property: string, reason: string): void {
    const text = reason.slice(0, REASON_CHARS_MAX);
    if (this.#problems[of].get(property) === text) return;
    this.#problems[of].set(property, text);
    const { namespace, name } = this.#options.device;
    log.warn("Property is in trouble", { device: `${namespace}/${name}`, property, error: text });
  }

  solved(of: ProblemOf, property: string): void {
    this.#problems[of].delete(property);
  }

  due(property: string): void {
    this.#due.add(property);
  }

  /** Nothing of it holds any more: the device is away. */
  forget(): void {
    this.#latest.clear();
    this.#due.clear();
    for (const problems of Object.values(this.#problems)) problems.clear();
  }

  /** What is due stays so when it cannot be told now. */
  async send(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { device, twins } = this.#options;
    const values: Record<string, ReportedValue> = {};
    for (const property of this.#due) {
      const value = this.#latest.get(property);
      if (value !== undefined) values[property] = { value };
    }
    if (Object.keys(values).length === 0) return;
    try {
      const timestampMs = Math.round(this.#readAtMs);
      const { rejections } = await twins.report(device, {
        twins: values,
        timestampMs,
        partial: true,
      });
      for (const property of Object.keys(values)) {
        const rejection = rejections.find((each) => each.property === property);
        if (rejection) this.problem("report", property, rejection.reason);
        else this.solved("report", property);
      }
      this.#due.clear();
    } catch (error) {
      this.#refused(error);
    }
  }

  async state(state: string): Promise<void> {
    const { device, twins } = this.#options;
    if (twins.get(device)?.life.state === state) return;
    try {
      await twins.reportState(device, state);
    } catch (error) {
      this.#refused(error);
    }
  }

  /** The twins are busy or the device has just gone: that is no reason to let go of the device. */
  #refused(error: unknown): void {
    if (!isAppError(error)) throw new AppError("internal", "Cannot report", {}, { cause: error });
    log.debug("Report was not taken", { error: errorChain(error) });
  }
}
