/**
 * From a parsed resource path and a method to the handler that serves it, after authorisation. The
 * table of kinds decides what exists; a verb it does not list is 405.
 */
import { authorize } from "./authorize.ts";
import { flag, type Handler, newApiRequest, type ServerParts } from "./context.ts";
import { methodNotAllowed, notServed, unknownPath } from "./errors.ts";
import { getObject, listObjects } from "./handle_read.ts";
import { watchObjects } from "./handle_watch.ts";
import {
  createObject,
  deleteCollection,
  deleteObject,
  patchObject,
  replaceObject,
} from "./handle_write.ts";
import { SPECIAL_SUBRESOURCES } from "./handle_special.ts";
import type { KindInfo, Verb } from "./kinds/kind_info.ts";
import type { UserInfo } from "./port.ts";
import type { ResourcePath } from "./resource_path.ts";

const HANDLERS: Record<Verb, Handler> = {
  get: getObject,
  list: listObjects,
  watch: watchObjects,
  create: createObject,
  update: replaceObject,
  patch: patchObject,
  delete: deleteObject,
  deletecollection: deleteCollection,
};

/** The verb of a request, as authorisation and discovery name it; undefined for no such method. */
export function verbOf(method: string, named: boolean, watch: boolean): Verb | undefined {
  switch (method) {
    case "GET":
      return named ? "get" : watch ? "watch" : "list";
    case "POST":
      return "create";
    case "PUT":
      return named ? "update" : undefined;
    case "PATCH":
      return named ? "patch" : undefined;
    case "DELETE":
      return named ? "delete" : "deletecollection";
    default:
      return undefined;
  }
}

export async function serveResource(
  parts: ServerParts,
  request: Request,
  user: UserInfo,
  target: { kind: KindInfo; path: ResourcePath },
): Promise<Response> {
  const { kind, path } = target;
  const named = path.name !== undefined;
  const api = newApiRequest(request, user, kind, path);
  const verb = verbOf(request.method, named, flag(api.query, "watch"));
  if (!verb) throw methodNotAllowed();
  authorize(user, { verb, ...path });
  if (path.subresource !== undefined) {
    return await serveSubresource(parts, api, verb, path.subresource);
  }
  requirePlace(kind, path, verb);
  if (!kind.verbs.includes(verb) || (verb === "create" && named)) throw methodNotAllowed();
  return await HANDLERS[verb](parts, api);
}

async function serveSubresource(
  parts: ServerParts,
  api: ReturnType<typeof newApiRequest>,
  verb: Verb,
  name: string,
): Promise<Response> {
  const { kind, path } = api;
  requirePlace(kind, path, verb);
  const subresource = kind.subresources.find((one) => one.name === name);
  if (!subresource) throw notServed(`${kind.plural}/${name}`);
  if (!subresource.verbs.includes(verb)) throw methodNotAllowed();
  const special = SPECIAL_SUBRESOURCES[`${kind.plural}/${name}`];
  return await (special ?? HANDLERS[verb])(parts, api);
}

/** A namespaced object is named below its namespace, a cluster-scoped one outside of any. */
function requirePlace(kind: KindInfo, path: ResourcePath, verb: Verb): void {
  if (!kind.namespaced) {
    if (path.namespace !== undefined) throw unknownPath();
    return;
  }
  if (path.namespace !== undefined) return;
  if (path.name !== undefined) throw unknownPath();
  if (verb !== "list" && verb !== "watch") throw methodNotAllowed();
}
