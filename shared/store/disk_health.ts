/**
 * How the disk does, as the store's own writes see it: full, read-only, failing or slow. What is
 * wrong stands until a write succeeds. After an I/O error the disk is left alone for a second;
 * while a write does not come back, others are refused after a while, so that callers hear.
 */
import type { Clock } from "../clock.ts";
import { AppError, errorChain, isAppError } from "../errors.ts";
import type { DiskProblem } from "./port.ts";

/** A disk that failed is tried again by the first commit after this. */
const RETRY_MS = 1_000;
/** A write that takes this long is shown as a problem. */
const SLOW_MS = 2_000;
/** Behind a write that takes this long nothing more is taken. */
const STALLED_MS = 10_000;

const WHAT: Record<DiskProblem["kind"], string> = {
  "full": "disk is full",
  "read-only": "disk is read-only",
  "failed": "disk failed",
  "slow": "disk does not answer",
};

export class DiskHealth {
  readonly #clock: Clock;
  readonly #dir: string;
  #standing: { kind: DiskProblem["kind"]; error: unknown; sinceMs: number } | undefined;
  #failure: unknown;
  #failedAtMs = 0;
  #writingSinceMs: number | undefined;
  writeMsMax = 0;

  constructor(clock: Clock, dir: string) {
    this.#clock = clock;
    this.#dir = dir;
  }

  /** True after an I/O error: what the failed write left on the disk is not known. */
  get isBroken(): boolean {
    return this.#failure !== undefined;
  }

  get problem(): DiskProblem | undefined {
    const nowMs = this.#clock.monotonicMs();
    if (this.#standing) {
      const { kind, error, sinceMs } = this.#standing;
      return { kind, message: `${WHAT[kind]}: ${errorChain(error)}`, forMs: nowMs - sinceMs };
    }
    const forMs = this.#writingForMs();
    if (forMs < SLOW_MS) return undefined;
    return { kind: "slow", message: `a write takes ${Math.round(forMs / 1_000)} s`, forMs };
  }

  /** Why no write can be taken just now. */
  get refusal(): AppError | undefined {
    if (this.isBroken && this.#clock.monotonicMs() - this.#failedAtMs < RETRY_MS) {
      return this.named(this.#failure);
    }
    return this.#writingForMs() < STALLED_MS ? undefined : this.#error("unavailable", "slow");
  }

  /** Watches a write; whoever runs it says how it ended. */
  async writing<T>(work: () => Promise<T>): Promise<T> {
    const startMs = this.#clock.monotonicMs();
    this.#writingSinceMs = startMs;
    try {
      return await work();
    } finally {
      this.writeMsMax = Math.max(this.writeMsMax, this.#clock.monotonicMs() - startMs);
      this.#writingSinceMs = undefined;
    }
  }

  wrote(): void {
    this.#standing = undefined;
  }

  /** After `full` the journal goes on as it is; after anything else it has to begin anew. */
  failed(error: unknown): void {
    const kind = kindOf(error);
    const nowMs = this.#clock.monotonicMs();
    this.#standing = { kind, error, sinceMs: this.#standing?.sinceMs ?? nowMs };
    if (isAppError(error, "exhausted")) return;
    this.#failure = error;
    this.#failedAtMs = nowMs;
  }

  revived(): void {
    this.#failure = undefined;
  }

  /** The error as callers see it. */
  named(error: unknown): AppError {
    const kind = kindOf(error);
    return this.#error(kind === "full" ? "exhausted" : "unavailable", kind, error);
  }

  #error(code: "exhausted" | "unavailable", kind: DiskProblem["kind"], cause?: unknown): AppError {
    const facts = { dir: this.#dir, disk: kind };
    return new AppError(code, `Cannot write to store ${this.#dir}: ${WHAT[kind]}`, facts, {
      cause,
    });
  }

  #writingForMs(): number {
    return this.#writingSinceMs === undefined
      ? 0
      : this.#clock.monotonicMs() - this.#writingSinceMs;
  }
}

function kindOf(error: unknown): "full" | "read-only" | "failed" {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (isAppError(at, "exhausted")) return "full";
    if ("code" in at && at.code === "EROFS") return "read-only";
  }
  return "failed";
}
