/** The one place where an AppError becomes an HTTP answer of the local API: a Kubernetes Status. */
import { type AppError, errorChain, type ErrorCode, isAppError } from "../../shared/errors.ts";
import type { StatusObject } from "../../shared/k8s/types.ts";

const BY_CODE: Record<ErrorCode, { code: number; reason: string }> = {
  invalid: { code: 400, reason: "BadRequest" },
  unauthenticated: { code: 401, reason: "Unauthorized" },
  forbidden: { code: 403, reason: "Forbidden" },
  not_found: { code: 404, reason: "NotFound" },
  already_exists: { code: 409, reason: "AlreadyExists" },
  conflict: { code: 409, reason: "Conflict" },
  stale: { code: 410, reason: "Expired" },
  exhausted: { code: 429, reason: "TooManyRequests" },
  canceled: { code: 499, reason: "Canceled" },
  unimplemented: { code: 405, reason: "MethodNotAllowed" },
  unavailable: { code: 503, reason: "ServiceUnavailable" },
  internal: { code: 500, reason: "InternalError" },
};

export function toStatus(error: unknown): StatusObject {
  const { code, reason } = BY_CODE[isAppError(error) ? (error as AppError).code : "internal"];
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: errorChain(error),
    reason,
    code,
  };
}

export function statusResponse(error: unknown): Response {
  const status = toStatus(error);
  return Response.json(status, { status: status.code ?? 500 });
}
