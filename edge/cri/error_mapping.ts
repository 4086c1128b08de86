/**
 * The one place where gRPC status codes of the runtime become the codes of AppError.
 *
 * What the runtime itself answered keeps its words: `message` is the runtime's, unchanged, because
 * kubelet shows it in pod status and events. `facts.call` names the CRI call, `facts.grpcCode` the
 * status. What the transport met (no socket, connection lost, deadline) gets a message of ours that
 * names the socket, with the transport's error as cause.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { AppError, type ErrorCode, type ErrorFacts } from "../../shared/errors.ts";
import { DEADLINE_REASON } from "./port.ts";

/** Which call failed, and where the runtime was looked for. */
export interface CallSite {
  call: string;
  socket: string;
}

const CODES: Record<Code, ErrorCode> = {
  [Code.Canceled]: "canceled",
  [Code.Unknown]: "internal",
  [Code.InvalidArgument]: "invalid",
  [Code.DeadlineExceeded]: "unavailable",
  [Code.NotFound]: "not_found",
  [Code.AlreadyExists]: "already_exists",
  [Code.PermissionDenied]: "forbidden",
  [Code.ResourceExhausted]: "exhausted",
  [Code.FailedPrecondition]: "conflict",
  [Code.Aborted]: "conflict",
  [Code.OutOfRange]: "invalid",
  [Code.Unimplemented]: "unimplemented",
  [Code.Internal]: "internal",
  [Code.Unavailable]: "unavailable",
  [Code.DataLoss]: "internal",
  [Code.Unauthenticated]: "unauthenticated",
};

/**
 * Prefixes by which kubelet recognises why a pull (or a mount) failed; they become facts.reason.
 */
const MESSAGE_REASONS = [
  "RegistryUnavailable",
  "SignatureValidationFailed",
  "RROUnsupported",
  "ImageVolumeMountFailed",
];

/** containerd says this without a code of its own when a sandbox or container name is taken. */
const NAME_RESERVED = /failed to reserve (sandbox|container) name .* is reserved for/;

/** CRI-O says this without a code when a container's sandbox or image is not there. */
const NOT_THERE = /\bnot found: ID does not exist$|" does not resolve to an image ID$/;

/** The AppError for whatever a Connect client threw at `site`. */
export function toAppError(error: unknown, site: CallSite): AppError {
  if (error instanceof AppError) return error;
  const connectError = ConnectError.from(error);
  return isAnswer(connectError) ? answered(connectError, site) : notAnswered(connectError, site);
}

/** CRI-O's answer for a command that outlasted its time; others refuse the call. */
const TIMED_OUT = "command timed out";

/** Throws what isDeadline knows, where the answer of ExecSync means that. */
export function refuseIfTimedOut(answer: { exitCode: number; stderr: Uint8Array }): void {
  if (answer.exitCode !== -1 || answer.stderr.length !== TIMED_OUT.length) return;
  if (new TextDecoder().decode(answer.stderr) !== TIMED_OUT) return;
  throw new AppError("unavailable", TIMED_OUT, { call: "ExecSync", reason: DEADLINE_REASON });
}

/** Only a status that came from the other side carries the answer's trailers. */
function isAnswer(error: ConnectError): boolean {
  return error.metadata.has("grpc-status");
}

function answered(error: ConnectError, site: CallSite): AppError {
  const message = error.rawMessage;
  const facts: ErrorFacts = { call: site.call, grpcCode: Code[error.code] };
  const reason = reasonOf(error.code, message);
  if (reason) facts.reason = reason;
  const code = error.code === Code.Unknown ? codeOfWords(message) : CODES[error.code];
  return new AppError(code, message, facts);
}

function codeOfWords(message: string): ErrorCode {
  if (NAME_RESERVED.test(message)) return "already_exists";
  return NOT_THERE.test(message) ? "not_found" : CODES[Code.Unknown];
}

function reasonOf(code: Code, message: string): string | undefined {
  if (code === Code.DeadlineExceeded) return DEADLINE_REASON;
  return MESSAGE_REASONS.find((prefix) => message.startsWith(prefix));
}

function notAnswered(error: ConnectError, { call, socket }: CallSite): AppError {
  const facts: ErrorFacts = { call, socket, grpcCode: Code[error.code] };
  const cause = { cause: error.cause ?? error };
  switch (error.code) {
    case Code.DeadlineExceeded:
      return new AppError(
        "unavailable",
        `Container runtime at ${socket} did not answer ${call} in time`,
        { ...facts, reason: DEADLINE_REASON },
        cause,
      );
    case Code.ResourceExhausted: // the answer is longer than our limit
    case Code.InvalidArgument:
    case Code.Unimplemented: // HTTP 404: whatever listens there has no such service
      return new AppError(
        CODES[error.code],
        `Container runtime at ${socket} cannot do ${call}`,
        facts,
        cause,
      );
    default:
      return new AppError(
        "unavailable",
        `Cannot reach container runtime at ${socket}`,
        facts,
        cause,
      );
  }
}
