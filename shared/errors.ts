/**
 * The one error family of the house. An operating error (the world said no) is an `AppError` with a
 * code from a closed union; each rim maps the code once (Connect, Kubernetes Status, MQTT, exit
 * code). A programmer error is an `InvariantError` and ends the process with its own exit status;
 * the ledger makes the restart safe.
 */
export type ErrorCode =
  | "invalid"
  | "unauthenticated"
  | "forbidden"
  | "not_found"
  | "already_exists"
  | "conflict"
  | "stale"
  | "unavailable"
  | "exhausted"
  | "canceled"
  | "unimplemented"
  | "internal";

/** Facts for the reader of a log; never secrets. */
export type ErrorFacts = Record<string, string | number | boolean | undefined>;

export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: ErrorCode;
  readonly facts: ErrorFacts;

  /**
   * `message` states the action, then the limit, then the value: "Cannot X: Y must be Z, got W".
   */
  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.facts = facts;
  }
}

/** Exit status of a process that ended because of an InvariantError (EX_SOFTWARE of sysexits.h). */
export const INVARIANT_EXIT_STATUS = 70;

export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** Throws an InvariantError unless `condition` holds. For what only a bug of ours can break. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}

/** True for an AppError with one of `codes` (or any code when none is named). */
export function isAppError(error: unknown, ...codes: ErrorCode[]): error is AppError {
  return error instanceof AppError && (codes.length === 0 || codes.includes(error.code));
}

/** The message of `error` and of its causes, outermost first, joined by ": ". */
export function errorChain(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  // 8: a longer chain of causes is a loop or noise
  for (let depth = 0; depth < 8 && current !== undefined && current !== null; depth++) {
    const text = current instanceof Error ? current.message || current.name : String(current);
    if (text && parts.at(-1) !== text) parts.push(text);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(": ");
}

/** True when `error` is what an aborted signal throws (its reason, or a DOM AbortError). */
export function isAbort(error: unknown, signal?: AbortSignal): boolean {
  if (signal?.aborted && (error === signal.reason || errorHasCause(error, signal.reason))) {
    return true;
  }
  return isAppError(error, "canceled") ||
    (error instanceof DOMException && error.name === "AbortError");
}

function errorHasCause(error: unknown, cause: unknown): boolean {
  return error instanceof Error && error.cause === cause && cause !== undefined;
}
