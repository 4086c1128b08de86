/** Names and paths that come from a pod's spec and end in the file system. Nothing climbs out. */
import { AppError } from "../../../shared/errors.ts";

const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const UID = /^[A-Za-z0-9][-A-Za-z0-9]{0,62}$/;

export function isSafeName(name: string | undefined): name is string {
  return name !== undefined && NAME.test(name) && !name.includes("..");
}

export function isSafeUid(uid: string | undefined): uid is string {
  return uid !== undefined && UID.test(uid);
}

/** `relative` without empty and "." parts; AppError "invalid" when absolute, empty or with "..". */
export function safeRelative(relative: string, what: string): string {
  const parts = relative.split("/").filter((part) => part !== "" && part !== ".");
  if (relative.startsWith("/") || parts.includes("..") || relative.includes("\0")) {
    throw new AppError(
      "invalid",
      `${what} must be a relative path without "..", got ${JSON.stringify(relative)}`,
    );
  }
  return parts.join("/");
}
