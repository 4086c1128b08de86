/**
 * What is desired of a device and not yet known to be so there. After a connection it is compared
 * with what the device says, and written only where it differs; when it changes, it is written.
 * What was written is read back. What the device refuses is tried again, ever less often.
 */
import type { Clock } from "../../shared/clock.ts";
import { errorChain, isAppError } from "../../shared/errors.ts";
import type { Connection, Point, WriteOutcome } from "./port.ts";
import type { Reporter } from "./reporter.ts";
import { saysSame } from "./settings.ts";

export interface DesiredWritesOptions {
  points: ReadonlyMap<string, Point>;
  desired: (property: string) => string | undefined;
  /** Runs a call of the driver under its deadline. */
  call: <T>(work: (signal: AbortSignal) => Promise<T>) => Promise<T>;
  reporter: Reporter;
  clock: Clock;
}

interface Pending {
  /** To be written whatever the device says. */
  sure: boolean;
  refusals: number;
  notBeforeMs: number;
}

const RETRY_MS_MIN = 2_000;
const RETRY_MS_MAX = 60_000;

export class DesiredWrites {
  readonly #options: DesiredWritesOptions;
  readonly #pending = new Map<string, Pending>();
  /** What a desired value became on the device, where that is not the same text. */
  readonly #became = new Map<string, { desired: string; expected: string }>();

  constructor(options: DesiredWritesOptions) {
    this.#options = options;
  }

  add(property: string, { sure }: { sure: boolean }): void {
    this.#pending.set(property, { sure, refusals: 0, notBeforeMs: 0 });
  }

  /** When there is something to write; Infinity when there is nothing. */
  nextMs(): number {
    let next = Infinity;
    for (const { notBeforeMs } of this.#pending.values()) next = Math.min(next, notBeforeMs);
    return next;
  }

  /** Number of values written. Throws when the device is lost. */
  async flush(connection: Connection): Promise<number> {
    const nowMs = this.#options.clock.monotonicMs();
    let written = 0;
    for (const [property, pending] of [...this.#pending]) {
      if (pending.notBeforeMs > nowMs) continue;
      const point = this.#options.points.get(property);
      const desired = this.#options.desired(property);
      if (!point || desired === undefined || (!pending.sure && this.#isSo(point, desired))) {
        this.#done(property, pending);
        continue;
      }
      written++;
      await this.#write(connection, point, desired, pending);
    }
    return written;
  }

  #isSo(point: Point, desired: string): boolean {
    const latest = this.#options.reporter.latest(point.name);
    if (latest === undefined) return false;
    const became = this.#became.get(point.name);
    const expected = became?.desired === desired ? became.expected : desired;
    return saysSame(point.type, latest, expected);
  }

  async #write(
    connection: Connection,
    point: Point,
    desired: string,
    pending: Pending,
  ): Promise<void> {
    const { reporter, call } = this.#options;
    try {
      const outcome = await call((signal) => connection.write(point, desired, signal));
      const problem = await this.#verify(connection, point, desired, outcome);
      if (problem !== undefined) return this.#refused(point, pending, problem);
      if (outcome.kind !== "sent") reporter.due(point.name);
      this.#done(point.name, pending);
    } catch (error) {
      if (!isAppError(error) || error.code === "unavailable" || error.code === "canceled") {
        throw error;
      }
      this.#refused(point, pending, errorChain(error));
    }
  }

  async #verify(
    connection: Connection,
    point: Point,
    desired: string,
    outcome: WriteOutcome,
  ): Promise<string | undefined> {
    const { reporter, call } = this.#options;
    if (outcome.kind === "sent") return undefined;
    if (outcome.kind === "done") {
      reporter.take(point.name, desired);
      return undefined;
    }
    const { expected } = outcome;
    const readings = await call(async (signal) => await connection.read?.([point], signal));
    const reading = readings?.get(point.name);
    if (reading === undefined) return `Wrote ${shown(desired)}, but it cannot be read back`;
    reporter.take(point.name, reading);
    reporter.due(point.name);
    if (typeof reading !== "string") return errorChain(reading);
    if (!saysSame(point.type, reading, expected)) {
      return `Wrote ${shown(desired)}, but the device says ${shown(reading)}`;
    }
    this.#became.set(point.name, { desired, expected });
    return undefined;
  }

  #done(property: string, pending: Pending): void {
    // desired may have changed meanwhile: then it is another one
    if (this.#pending.get(property) !== pending) return;
    this.#pending.delete(property);
    this.#options.reporter.solved("write", property);
  }

  #refused(point: Point, pending: Pending, reason: string): void {
    this.#options.reporter.problem("write", point.name, reason);
    const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(pending.refusals++, 10));
    pending.notBeforeMs = this.#options.clock.monotonicMs() + waitMs;
  }
}

function shown(value: string): string {
  return value.length <= 40 ? `"${value}"` : `${value.length} characters`;
}
