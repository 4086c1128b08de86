/**
 * GET of one object and of lists. Pages of a list show one and the same revision: later pages are
 * taken from the state as it was when the first was cut (410 once that is no longer known).
 */
import { AppError, isAppError } from "../../shared/errors.ts";
import {
  matchFields,
  matchLabels,
  parseFieldSelector,
  parseLabelSelector,
} from "../../shared/k8s/selectors.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { type ApiRequest, type Handler, objectResponse, wholeNumber } from "./context.ts";
import { badRequest, expired, notFound } from "./errors.ts";
import type { KindInfo } from "./kinds/kind_info.ts";
import { listResponse } from "./list_body.ts";
import type { Page } from "./resource_table.ts";
import { objectKey } from "./storage.ts";
import { kindId } from "./writer.ts";

export const getObject: Handler = (parts, request) => {
  const { kind, path } = request;
  const name = path.name!; // a route without a name is a list
  const object = parts.storage.get(kindId(kind), path.namespace, name);
  if (!object) throw notFound(kind, name);
  return objectResponse(parts, request, object);
};

/** Says whether an object is in the selection of `query`. Throws 400 for a bad selector. */
export function selectorOf(
  kind: KindInfo,
  query: URLSearchParams,
): { all: boolean; matches: (object: KubeObject) => boolean } {
  const labels = parseLabelSelector(query.get("labelSelector") ?? "");
  const fields = parseFieldSelector(query.get("fieldSelector") ?? "", kind.selectableFields);
  if (labels.length === 0 && fields.length === 0) return { all: true, matches: () => true };
  return {
    all: false,
    matches: (object) =>
      matchLabels(labels, object.metadata.labels) &&
      (fields.length === 0 || matchFields(fields, kind.fields(object))),
  };
}

export const listObjects: Handler = (parts, request) => {
  const { kind, path, query, form } = request;
  const selector = selectorOf(kind, query);
  const limit = wholeNumber(query, "limit") || undefined;
  const { revision, after } = startOf(request, parts.storage.revision);
  const { namespace } = path;
  const matches = selector.all ? undefined : selector.matches;
  const { objects, left } = listAt(
    request,
    () => parts.storage.page(kindId(kind), revision, { namespace, after, limit, matches }),
  );
  return listResponse(kind, objects, {
    form,
    nowMs: parts.clock.nowMs(),
    meta: {
      resourceVersion: String(revision),
      ...(left > 0 ? { continue: continueToken({ revision, after: keyOf(objects.at(-1)!) }) } : {}),
      ...(left > 0 && selector.all ? { remainingItemCount: left } : {}),
    },
  });
};

function keyOf(object: KubeObject): string {
  return objectKey(object.metadata.namespace, object.metadata.name ?? "");
}

/** Where a list begins: at a page's token, at an exact revision, or now. */
function startOf(
  { query }: ApiRequest,
  now: number,
): { revision: number; after?: string } {
  const token = query.get("continue");
  if (token) return parseContinueToken(token);
  const version = query.get("resourceVersion") ?? "";
  if (version !== "" && !/^\d{1,15}$/.test(version)) {
    throw badRequest(`invalid resource version "${version}"`);
  }
  const exact = query.get("resourceVersionMatch") === "Exact";
  return { revision: exact && version !== "" && version !== "0" ? Number(version) : now };
}

function listAt(request: ApiRequest, list: () => Page): Page {
  try {
    return list();
  } catch (error) {
    if (!isAppError(error, "stale")) throw error;
    throw expired(
      request.query.get("continue")
        ? "The provided continue parameter is too old to display a consistent list result. " +
          "You must start a new list without the continue parameter."
        : error.message,
    );
  }
}

interface PageStart {
  revision: number;
  after: string;
}

function continueToken(start: PageStart): string {
  const bytes = new TextEncoder().encode(JSON.stringify({ v: 1, ...start }));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_");
}

function parseContinueToken(token: string): PageStart {
  try {
    const raw = atob(token.replace(/-/g, "+").replace(/_/g, "/"));
    const bytes = Uint8Array.from(raw, (char) => char.charCodeAt(0));
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    const { v, revision, after } = value as Record<string, unknown>; // checked on the next line
    if (v === 1 && typeof revision === "number" && typeof after === "string") {
      return { revision, after };
    }
    throw new AppError("invalid", "Cannot read continue token: unknown version");
  } catch {
    throw badRequest("continue key is not valid"); // whatever is wrong, the client starts anew
  }
}
