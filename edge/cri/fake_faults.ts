/**
 * Faults for the fake runtime: the next calls of a name fail, stall or take time, or the whole
 * runtime is down. Each fault says how often it strikes; the first that still applies is taken.
 */
import { AppError, type ErrorCode } from "../../shared/errors.ts";
import type { Clock } from "../../shared/clock.ts";
import { untilAborted } from "../../shared/async/task_scope.ts";

type Fault =
  | { kind: "fail"; code: ErrorCode; message: string; left: number }
  | { kind: "delay"; ms: number; left: number }
  | { kind: "stall"; left: number };

export class FakeFaults {
  readonly #clock: Clock;
  readonly #faults = new Map<string, Fault[]>();
  /** While true every call is answered as by a missing socket; containers go on running. */
  down = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The next `times` calls of `call` (a CRI name, "CreateContainer") reject with `code`. */
  fail(call: string, code: ErrorCode, message: string, times = 1): void {
    this.#add(call, { kind: "fail", code, message, left: times });
  }

  /** The next `times` calls of `call` take `ms` longer. */
  delay(call: string, ms: number, times = 1): void {
    this.#add(call, { kind: "delay", ms, left: times });
  }

  /** The next `times` calls of `call` get no answer until their signal aborts. */
  stall(call: string, times = 1): void {
    this.#add(call, { kind: "stall", left: times });
  }

  clear(): void {
    this.#faults.clear();
    this.down = false;
  }

  refuseIfDown(call: string): void {
    if (!this.down) return;
    throw new AppError("unavailable", "Cannot reach container runtime at fake", { call });
  }

  /** Applies what is due for `call`; the signal ends delays and stalls. */
  async strike(call: string, signalOf: () => AbortSignal): Promise<void> {
    this.refuseIfDown(call);
    const fault = this.#faults.get(call)?.find((each) => each.left > 0);
    if (!fault) return;
    fault.left--;
    const signal = signalOf();
    switch (fault.kind) {
      case "fail":
        throw new AppError(fault.code, fault.message, { call });
      case "delay":
        return await this.#clock.sleep(fault.ms, signal);
      case "stall":
        await untilAborted(signal);
        throw signal.reason;
    }
  }

  #add(call: string, fault: Fault): void {
    const faults = this.#faults.get(call) ?? [];
    faults.push(fault);
    this.#faults.set(call, faults);
  }
}
