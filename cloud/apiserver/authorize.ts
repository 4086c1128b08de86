/**
 * Who may do what. One rule while there is no RBAC: administrators (group system:masters, and the
 * program itself) may do everything; anyone else who is known may ask who they are and what the
 * server offers, and nothing more.
 */
import { badRequest, failure, StatusError } from "./errors.ts";
import type { UserInfo } from "./port.ts";

export const ADMIN_GROUP = "system:masters";
export const SYSTEM_USER = "system:skerry";

/** The user of the program's own parts, in process. */
export const SYSTEM: UserInfo = { username: SYSTEM_USER, groups: [ADMIN_GROUP] };

export interface Attributes {
  verb: string;
  group: string;
  resource: string;
  subresource?: string | undefined;
  namespace?: string | undefined;
  name?: string | undefined;
}

export function isAdmin(user: UserInfo): boolean {
  return user.groups.includes(ADMIN_GROUP) || user.username === SYSTEM_USER;
}

/**
 * Who the request acts as (`kubectl --as`): the user itself, or whom an administrator names in the
 * Impersonate headers. Never ignored: whoever asks to act with less must not act with all.
 */
export function actingAs(user: UserInfo, headers: Headers): UserInfo {
  const username = headers.get("impersonate-user");
  if (username === null) {
    if (![...headers.keys()].some((name) => name.startsWith("impersonate-"))) return user;
    throw badRequest("Impersonate-User is required with any other Impersonate header");
  }
  authorize(user, { verb: "impersonate", group: "", resource: "users", name: username });
  const groups = (headers.get("impersonate-group") ?? "").split(",").map((name) => name.trim());
  return {
    username,
    groups: [...new Set([...groups.filter((name) => name !== ""), "system:authenticated"])],
  };
}

/** Throws 403 unless `user` may. */
export function authorize(user: UserInfo, attributes: Attributes): void {
  if (isAdmin(user)) return;
  const { verb, group, resource, subresource, namespace, name } = attributes;
  const full = subresource ? `${resource}/${subresource}` : resource;
  const subject = name ? `${resource} "${name}" is forbidden: ` : `${resource} is forbidden: `;
  const scope = namespace === undefined
    ? "at the cluster scope"
    : `in the namespace "${namespace}"`;
  const message = `${subject}User "${user.username}" cannot ${verb} resource "${full}" ` +
    `in API group "${group}" ${scope}`;
  throw new StatusError(
    "forbidden",
    failure(403, "Forbidden", message, { kind: resource, ...(name ? { name } : {}) }),
  );
}
