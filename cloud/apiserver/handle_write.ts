/** POST, PUT, PATCH and DELETE of objects and of subresources that have the kind's own shape. */
import { isJsonObject, type JsonObject } from "../../shared/json/json.ts";
import { toTime } from "../../shared/clock.ts";
import { isAppError } from "../../shared/errors.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import type { DeleteOptions } from "../kube/port.ts";
import {
  contentTypeOf,
  parseObjectBody,
  parseOptionsBody,
  parsePatchBody,
  readBody,
} from "./body.ts";
import {
  type ApiRequest,
  decodeObject,
  dryRunOf,
  fieldValidationOf,
  flag,
  type Handler,
  jsonResponse,
  objectResponse,
  wholeNumber,
} from "./context.ts";
import { badRequest, detailsOf, success, unsupportedMediaType } from "./errors.ts";
import { selectorOf } from "./handle_read.ts";
import { listResponse } from "./list_body.ts";
import { applyPatch, PATCH_CONTENT_TYPES, type PatchRequest } from "./patch/apply_patch.ts";
import { decodeJson } from "./schema/decode_json.ts";
import { kindId, type NamedPlace } from "./writer.ts";

export const createObject: Handler = async (parts, request) => {
  const { kind, path, query } = request;
  const warnings: string[] = [];
  const body = parseObjectBody(await readBody(request.request), contentTypeOf(request.request));
  const object = placed(request, decodeObject(kind, body, query, warnings));
  const options = { dryRun: dryRunOf(query.getAll("dryRun")), warnings };
  const created = await parts.writer.create({ kind, namespace: path.namespace }, object, options);
  return objectResponse(parts, request, created, { status: 201, warnings });
};

export const replaceObject: Handler = async (parts, request) => {
  const { kind, query } = request;
  const warnings: string[] = [];
  const body = parseObjectBody(await readBody(request.request), contentTypeOf(request.request));
  const object = placed(request, decodeObject(kind, body, query, warnings));
  const result = await parts.writer.update(namedPlace(request), () => object, {
    dryRun: dryRunOf(query.getAll("dryRun")),
    warnings,
  });
  return objectResponse(parts, request, result.object, {
    status: result.created ? 201 : 200,
    warnings,
  });
};

export const patchObject: Handler = async (parts, request) => {
  const { kind, query } = request;
  const type = PATCH_CONTENT_TYPES[contentTypeOf(request.request)];
  if (!type) throw unsupportedMediaType(Object.keys(PATCH_CONTENT_TYPES));
  const body = parsePatchBody(await readBody(request.request), type === "apply");
  const fieldManager = query.get("fieldManager");
  if (type === "apply" && !fieldManager) {
    throw badRequest("fieldManager is required for apply patch");
  }
  const patch: PatchRequest = {
    type,
    body: body.value,
    ...(fieldManager ? { fieldManager } : {}),
    now: toTime(parts.clock.nowMs()),
    force: flag(query, "force"),
  };
  const fieldValidation = fieldValidationOf(query);
  const warnings: string[] = [];
  const change = (current: KubeObject | undefined): KubeObject => {
    const patched = applyPatch(kind, current, patch);
    const decoded = decodeJson(kind, patched, { fieldValidation });
    warnings.splice(0, warnings.length, ...decoded.warnings);
    return placed(request, decoded.object);
  };
  const result = await parts.writer.update(namedPlace(request), change, {
    dryRun: dryRunOf(query.getAll("dryRun")),
    warnings,
    mayCreate: type === "apply" && request.path.subresource === undefined,
  });
  return objectResponse(parts, request, result.object, {
    status: result.created ? 201 : 200,
    warnings,
  });
};

export const deleteObject: Handler = async (parts, request) => {
  const { options, dryRun } = await deleteOptionsOf(request);
  const place = namedPlace(request);
  const warnings: string[] = [];
  const { object, gone } = await parts.writer.delete(place, options, { dryRun, warnings });
  if (!gone) return objectResponse(parts, request, object, { warnings });
  const { name, uid = "" } = object.metadata;
  return jsonResponse(success(detailsOf(request.kind, name, { uid })), { warnings });
};

/** 64 deletions of a collection share a commit, or a few. */
const DELETES_AT_ONCE = 64;

export const deleteCollection: Handler = async (parts, request) => {
  const { kind, path, query, form } = request;
  const { options, dryRun } = await deleteOptionsOf(request);
  const selector = selectorOf(kind, query);
  const objects = parts.storage.list(kindId(kind), path.namespace).filter(selector.matches);
  const deleteOne = async ({ metadata: { namespace, name = "" } }: KubeObject) => {
    try {
      await parts.writer.delete({ kind, namespace, name, subresource: "" }, options, { dryRun });
    } catch (error) {
      if (!isAppError(error, "not_found")) throw error; // someone else was faster: it is gone
    }
  };
  for (let at = 0; at < objects.length; at += DELETES_AT_ONCE) {
    await Promise.all(objects.slice(at, at + DELETES_AT_ONCE).map(deleteOne));
  }
  const meta = { resourceVersion: String(parts.storage.revision) };
  return listResponse(kind, objects, { form, meta, nowMs: parts.clock.nowMs() });
};

export function namedPlace({ kind, path }: ApiRequest): NamedPlace {
  const { namespace, name = "", subresource = "" } = path;
  return { kind, namespace, name, subresource };
}

/** The body's name and namespace may be absent, but may not differ from the path's. */
function placed({ kind, path }: ApiRequest, object: KubeObject): KubeObject {
  const metadata = { ...object.metadata };
  if (kind.namespaced) {
    if (metadata.namespace && metadata.namespace !== path.namespace) {
      throw badRequest(
        "the namespace of the provided object does not match the namespace sent on the request",
      );
    }
    metadata.namespace = path.namespace!; // routed: a namespaced write always has one
  } else delete metadata.namespace;
  if (path.name !== undefined) {
    if (metadata.name && metadata.name !== path.name) {
      throw badRequest(
        `the name of the object (${metadata.name}) does not match the name on the URL ` +
          `(${path.name})`,
      );
    }
    metadata.name = path.name;
  }
  return { ...object, metadata };
}

const PROPAGATION = ["Background", "Foreground", "Orphan"] as const;

/** Options from the body, or where it has none from the query. */
async function deleteOptionsOf(
  { request, query }: ApiRequest,
): Promise<{ options: DeleteOptions; dryRun: boolean }> {
  const body = parseOptionsBody(await readBody(request), contentTypeOf(request));
  return toDeleteOptions(body, query);
}

export function toDeleteOptions(
  body: JsonObject,
  query: URLSearchParams,
): { options: DeleteOptions; dryRun: boolean } {
  const options: DeleteOptions = {};
  const grace = body.gracePeriodSeconds ?? wholeNumber(query, "gracePeriodSeconds");
  if (grace !== undefined && grace !== null) {
    if (!Number.isInteger(grace)) throw badRequest("gracePeriodSeconds must be a whole number");
    options.gracePeriodSeconds = grace as number; // an integer, by the line above
  }
  if (isJsonObject(body.preconditions)) {
    const { uid, resourceVersion } = body.preconditions;
    options.preconditions = {
      ...(typeof uid === "string" ? { uid } : {}),
      ...(typeof resourceVersion === "string" ? { resourceVersion } : {}),
    };
  }
  const policy = body.propagationPolicy ?? query.get("propagationPolicy");
  if (policy !== undefined && policy !== null) {
    const known = PROPAGATION.find((name) => name === policy);
    if (!known) {
      throw badRequest(
        `propagationPolicy must be one of ${PROPAGATION.join(", ")}, got "${policy}"`,
      );
    }
    options.propagationPolicy = known;
  }
  const dryRun = Array.isArray(body.dryRun) ? body.dryRun.map(String) : query.getAll("dryRun");
  return { options, dryRun: dryRunOf(dryRun) };
}
