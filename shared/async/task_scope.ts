/**
 * Whoever starts a task owns and joins it: a scope holds tasks, aborts them together, and is done
 * only when every one has ended. The first failure of a task aborts the scope and is thrown by
 * `join` (and by disposal).
 */
import { AppError, isAbort } from "../errors.ts";

export class TaskScope implements AsyncDisposable {
  readonly #controller = new AbortController();
  readonly #tasks = new Set<Promise<void>>();
  readonly #unlink: () => void;
  #failure: { error: unknown } | undefined;

  constructor(parent?: AbortSignal) {
    const onAbort = () => this.#controller.abort(parent?.reason);
    if (parent?.aborted) onAbort();
    parent?.addEventListener("abort", onAbort, { once: true });
    this.#unlink = () => parent?.removeEventListener("abort", onAbort);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Starts `run`; its failure (other than by abort) aborts the whole scope. */
  spawn(name: string, run: (signal: AbortSignal) => Promise<void>): void {
    const task = this.#guard(name, run);
    this.#tasks.add(task);
    void task.then(() => this.#tasks.delete(task));
  }

  async #guard(name: string, run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    try {
      await run(this.signal);
    } catch (error) {
      if (this.signal.aborted && isAbort(error, this.signal)) return;
      this.#failure ??= { error: new Error(`Task ${name} failed`, { cause: error }) };
      this.abort(this.#failure.error);
    }
  }

  abort(reason: unknown = new AppError("canceled", "Scope ended")): void {
    this.#controller.abort(reason);
  }

  /** Waits for every task; throws the first failure. */
  async join(): Promise<void> {
    while (this.#tasks.size > 0) await Promise.allSettled([...this.#tasks]);
    this.#unlink();
    if (this.#failure) throw this.#failure.error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.abort();
    await this.join();
  }
}

/** Resolves when `signal` aborts. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
