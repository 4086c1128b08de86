/**
 * The rim between AppErrors and the Kubernetes Status: `toStatus` maps any error once, and the
 * constructors below make the errors whose Status says more than a code (kubectl prints these
 * texts, so they are the ones users of Kubernetes know).
 */
import { AppError, errorChain, type ErrorCode } from "../../shared/errors.ts";
import type { StatusObject } from "../../shared/k8s/types.ts";
import { type FieldError, invalidStatus } from "./kinds/field_error.ts";

/** An AppError that knows its Status. */
export class StatusError extends AppError {
  readonly status: StatusObject;

  constructor(code: ErrorCode, status: StatusObject, options?: ErrorOptions) {
    super(code, status.message ?? status.reason ?? code, {}, options);
    this.status = status;
  }
}

/** What is named in messages and details: `pods "x"`, `leases.coordination.k8s.io "x"`. */
export interface Named {
  group: string;
  plural: string;
}

type Details = NonNullable<StatusObject["details"]>;

export function failure(
  http: number,
  reason: string,
  message: string,
  details?: Details,
): StatusObject {
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message,
    reason,
    ...(details ? { details } : {}),
    code: http,
  };
}

export function success(details?: Details): StatusObject {
  const base = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" } as const;
  return details ? { ...base, details } : base;
}

/** `group` and plural `kind` of details, without an empty group. */
export function detailsOf(what: Named, name?: string, more: Details = {}): Details {
  return {
    ...(name ? { name } : {}),
    ...(what.group === "" ? {} : { group: what.group }),
    kind: what.plural,
    ...more,
  };
}

function qualified(what: Named): string {
  return what.group === "" ? what.plural : `${what.plural}.${what.group}`;
}

export function notFound(what: Named, name: string): StatusError {
  const message = `${qualified(what)} "${name}" not found`;
  return new StatusError(
    "not_found",
    failure(404, "NotFound", message, detailsOf(what, name)),
  );
}

/** The path itself is unknown. */
export function unknownPath(): StatusError {
  const message = "the server could not find the requested resource";
  return new StatusError("not_found", failure(404, "NotFound", message, {}));
}

/** A part of a kind that other servers have and this one does not ("pods/exec"). */
export function notServed(what: string): StatusError {
  const message = `the server does not serve ${what}`;
  return new StatusError("not_found", failure(404, "NotFound", message, {}));
}

export function alreadyExists(what: Named, name: string): StatusError {
  const message = `${qualified(what)} "${name}" already exists`;
  return new StatusError(
    "already_exists",
    failure(409, "AlreadyExists", message, detailsOf(what, name)),
  );
}

export const MODIFIED_MESSAGE =
  "the object has been modified; please apply your changes to the latest version and try again";

export function conflict(what: Named, name: string, why: string = MODIFIED_MESSAGE): StatusError {
  const message = `Operation cannot be fulfilled on ${qualified(what)} "${name}": ${why}`;
  return new StatusError("conflict", failure(409, "Conflict", message, detailsOf(what, name)));
}

export function badRequest(message: string): StatusError {
  return new StatusError("invalid", failure(400, "BadRequest", message));
}

export function forbidden(what: Named | undefined, name: string, why: string): StatusError {
  const subject = what ? `${qualified(what)} "${name}" is forbidden: ` : "forbidden: ";
  return new StatusError(
    "forbidden",
    failure(403, "Forbidden", subject + why, what ? detailsOf(what, name || undefined) : {}),
  );
}

export function unauthorized(): StatusError {
  return new StatusError("unauthenticated", failure(401, "Unauthorized", "Unauthorized"));
}

export function methodNotAllowed(): StatusError {
  const message = "the server does not allow this method on the requested resource";
  return new StatusError("invalid", failure(405, "MethodNotAllowed", message, {}));
}

export function unsupportedMediaType(supported: readonly string[]): StatusError {
  const message = "the body of the request was in an unknown format - accepted media types " +
    `include: ${supported.join(", ")}`;
  return new StatusError("invalid", failure(415, "UnsupportedMediaType", message));
}

export function bodyTooLarge(bytesMax: number): StatusError {
  const message = `Request entity is too large: limit is ${bytesMax} bytes`;
  return new StatusError("invalid", failure(413, "RequestEntityTooLarge", message));
}

export function expired(message: string): StatusError {
  return new StatusError("stale", failure(410, "Expired", message));
}

export function invalidFields(
  kind: { group: string; kind: string },
  name: string,
  errors: readonly FieldError[],
): StatusError {
  return new StatusError("invalid", invalidStatus(kind, name, errors));
}

const BY_CODE: Record<ErrorCode, { http: number; reason: string }> = {
  invalid: { http: 400, reason: "BadRequest" },
  unauthenticated: { http: 401, reason: "Unauthorized" },
  forbidden: { http: 403, reason: "Forbidden" },
  not_found: { http: 404, reason: "NotFound" },
  already_exists: { http: 409, reason: "AlreadyExists" },
  conflict: { http: 409, reason: "Conflict" },
  stale: { http: 410, reason: "Expired" },
  exhausted: { http: 429, reason: "TooManyRequests" },
  unavailable: { http: 503, reason: "ServiceUnavailable" },
  unimplemented: { http: 501, reason: "NotImplemented" },
  canceled: { http: 504, reason: "Timeout" },
  internal: { http: 500, reason: "InternalError" },
};

/** The Status any error answers with. */
export function toStatus(error: unknown): StatusObject {
  if (error instanceof StatusError) return error.status;
  if (!(error instanceof AppError)) {
    return failure(500, "InternalError", `Internal error occurred: ${errorChain(error)}`, {
      causes: [{ message: errorChain(error) }],
    });
  }
  const text = errorChain(error);
  if (error.facts.tooLarge) return failure(413, "RequestEntityTooLarge", text);
  if (error.code === "invalid" && error.facts.reason === "Invalid") {
    return failure(422, "Invalid", text);
  }
  if (error.facts.disk !== undefined) {
    // without a time to try again: clients give up at once, and people read why
    return error.facts.disk === "full"
      ? failure(507, "InsufficientStorage", text)
      : failure(503, "ServiceUnavailable", text);
  }
  if (error.code === "exhausted") {
    // 1 s: the least a client waits; clients back off by themselves beyond it
    return failure(429, "TooManyRequests", text, { retryAfterSeconds: 1 });
  }
  const { http, reason } = BY_CODE[error.code];
  return failure(http, reason, text);
}
