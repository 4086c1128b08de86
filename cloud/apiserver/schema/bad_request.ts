/** The AppError of a body that cannot be read: HTTP 400, reason BadRequest. */
import { AppError } from "../../../shared/errors.ts";

/** `field` names the place for logs; the message must say it for people. */
export function badRequest(message: string, field?: string): AppError {
  return new AppError("invalid", message, {
    reason: "BadRequest",
    ...(field === undefined ? {} : { field }),
  });
}
