/** The one mapping between our error codes and Connect's, for both ends of the link. */
import { Code, ConnectError } from "@connectrpc/connect";
import { AppError, errorChain, type ErrorCode } from "../errors.ts";

const CONNECT_CODES: Record<ErrorCode, Code> = {
  invalid: Code.InvalidArgument,
  unauthenticated: Code.Unauthenticated,
  forbidden: Code.PermissionDenied,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  conflict: Code.Aborted,
  stale: Code.FailedPrecondition,
  unavailable: Code.Unavailable,
  exhausted: Code.ResourceExhausted,
  canceled: Code.Canceled,
  unimplemented: Code.Unimplemented,
  internal: Code.Internal,
};

const APP_CODES = new Map<Code, ErrorCode>(
  Object.entries(CONNECT_CODES).map(([code, connect]) => [connect, code as ErrorCode]), // its keys
);

/** What a handler throws so that the peer sees code and message; other errors become "internal". */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  if (error instanceof AppError) {
    return new ConnectError(error.message, CONNECT_CODES[error.code], undefined, undefined, error);
  }
  return new ConnectError("Internal error", Code.Internal, undefined, undefined, error);
}

/**
 * The peer's error as ours. An error that did not come from the peer (it has a cause on this side,
 * or is no Connect error) is a broken transport: "unavailable".
 */
export function fromConnectError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (error instanceof ConnectError) {
    const local = error.cause !== undefined && error.code !== Code.Canceled;
    const code = local ? "unavailable" : APP_CODES.get(error.code) ?? "unavailable";
    return new AppError(code, error.rawMessage, {}, { cause: error.cause });
  }
  return new AppError("unavailable", errorChain(error) || "Connection lost", {}, { cause: error });
}

/**
 * What the peer did wrong when reading its messages failed by their fault: one is larger than we
 * read, inflates too far, or is none. Undefined where the stream merely broke.
 */
export function breachOf(error: unknown): AppError | undefined {
  if (error instanceof AppError) return error;
  if (!(error instanceof ConnectError)) return undefined;
  const code = APP_CODES.get(error.code);
  if (code !== "exhausted" && code !== "invalid") return undefined;
  return new AppError(code, error.rawMessage, {}, { cause: error });
}
