/**
 * KubeClient over any `fetch`: builds Kubernetes API requests, parses objects and watch streams,
 * and turns Status replies into AppErrors. In process (in_process.ts) and over HTTPS it is this
 * code.
 */
import { AppError, errorChain, type ErrorCode, isAbort } from "../../shared/errors.ts";
import { isJsonObject } from "../../shared/json/json.ts";
import type { GroupVersionResource } from "../../shared/k8s/gvr.ts";
import { groupVersionPath } from "../../shared/k8s/gvr.ts";
import type { KubeList, KubeObject, StatusObject, WatchEvent } from "../../shared/k8s/types.ts";
import type { DeleteOptions, KubeClient, KubeListOptions, KubeTarget, PatchType } from "./port.ts";
import { readLines } from "./read_lines.ts";

export interface HttpKubeOptions {
  fetch: typeof fetch;
  /** "https://10.0.0.1:6443"; in process any host. */
  baseUrl: string;
  /** Value of the Authorization header, asked for at each request: tokens are renewed. */
  authorization?: () => Promise<string | undefined>;
}

/** 500 objects a page, as kubectl: a page of large secrets stays within tens of megabytes. */
const PAGE_LIMIT = 500;

const PATCH_TYPES: Record<PatchType, string> = {
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  json: "application/json-patch+json",
};

interface Call {
  method: string;
  path: string;
  query?: Record<string, string | undefined>;
  body?: unknown;
  contentType?: string;
}

export class HttpKube implements KubeClient {
  readonly #options: HttpKubeOptions;

  constructor(options: HttpKubeOptions) {
    this.#options = options;
  }

  async get<T extends KubeObject>(
    gvr: GroupVersionResource,
    target: KubeTarget,
    signal: AbortSignal,
  ): Promise<T> {
    return await this.#json<T>({ method: "GET", path: objectPath(gvr, target) }, signal);
  }

  /** The whole list, page by page; its resourceVersion is that of the first page. */
  async list<T extends KubeObject>(
    gvr: GroupVersionResource,
    options: KubeListOptions,
    signal: AbortSignal,
  ): Promise<KubeList<T>> {
    const call = (token: string | undefined): Call => ({
      method: "GET",
      path: collectionPath(gvr, options.namespace),
      query: token === undefined ? { ...listQuery(options), limit: String(PAGE_LIMIT) } : {
        ...listQuery(options),
        resourceVersion: undefined,
        limit: String(PAGE_LIMIT),
        continue: token,
      },
    });
    const first = await this.#json<KubeList<T>>(call(undefined), signal);
    const items = [...(first.items ?? [])];
    let token = first.metadata.continue;
    while (token) {
      const page: KubeList<T> = await this.#json<KubeList<T>>(call(token), signal);
      items.push(...(page.items ?? []));
      token = page.metadata.continue;
    }
    const { resourceVersion } = first.metadata;
    const metadata = resourceVersion === undefined ? {} : { resourceVersion };
    return { apiVersion: first.apiVersion, kind: first.kind, metadata, items };
  }

  async *watch<T extends KubeObject>(
    gvr: GroupVersionResource,
    options: KubeListOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>> {
    const response = await this.#send({
      method: "GET",
      path: collectionPath(gvr, options.namespace),
      query: { ...listQuery(options), watch: "true", allowWatchBookmarks: "true" },
    }, signal);
    if (!response.body) return;
    try {
      for await (const line of readLines(response.body, signal)) {
        const event = parseEvent<T>(line);
        if (event.type === "ERROR") throw statusError(event.object);
        yield event;
      }
    } catch (error) {
      throw transportError(error, signal);
    }
  }

  async create<T extends KubeObject>(
    gvr: GroupVersionResource,
    object: T,
    signal: AbortSignal,
    target: { namespace?: string; name?: string; subresource?: string } = {},
  ): Promise<T> {
    const namespace = target.namespace ?? object.metadata.namespace;
    const { name, subresource } = target;
    const path = name === undefined
      ? collectionPath(gvr, namespace)
      : objectPath(gvr, withoutUndefined({ namespace, name, subresource }));
    return await this.#json<T>({ method: "POST", path, body: object }, signal);
  }

  async update<T extends KubeObject>(
    gvr: GroupVersionResource,
    object: T,
    signal: AbortSignal,
    options: { subresource?: string } = {},
  ): Promise<T> {
    const { namespace, name = "" } = object.metadata;
    const { subresource } = options;
    const path = objectPath(gvr, withoutUndefined({ namespace, name, subresource }));
    return await this.#json<T>({ method: "PUT", path, body: object }, signal);
  }

  async patch<T extends KubeObject>(
    gvr: GroupVersionResource,
    target: KubeTarget,
    patch: { type: PatchType; body: unknown },
    signal: AbortSignal,
  ): Promise<T> {
    return await this.#json<T>({
      method: "PATCH",
      path: objectPath(gvr, target),
      body: patch.body,
      contentType: PATCH_TYPES[patch.type],
    }, signal);
  }

  async delete(
    gvr: GroupVersionResource,
    target: KubeTarget,
    options: DeleteOptions,
    signal: AbortSignal,
  ): Promise<void> {
    const body = { kind: "DeleteOptions", apiVersion: "v1", ...options };
    await this.#json({ method: "DELETE", path: objectPath(gvr, target), body }, signal);
  }

  async #json<T>(call: Call, signal: AbortSignal): Promise<T> {
    const response = await this.#send(call, signal);
    try {
      return await response.json() as T; // the server answers with the kind that was asked for
    } catch (error) {
      throw transportError(error, signal);
    }
  }

  async #send(call: Call, signal: AbortSignal): Promise<Response> {
    const url = new URL(call.path, this.#options.baseUrl);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    const headers = new Headers({ accept: "application/json" });
    const authorization = await this.#options.authorization?.();
    if (authorization !== undefined) headers.set("authorization", authorization);
    const init: RequestInit = { method: call.method, headers, signal };
    if (call.body !== undefined) {
      headers.set("content-type", call.contentType ?? "application/json");
      init.body = JSON.stringify(call.body);
    }
    let response: Response;
    try {
      response = await this.#options.fetch(url, init);
    } catch (error) {
      throw transportError(error, signal);
    }
    if (response.ok) return response;
    throw await replyError(response);
  }
}

function withoutUndefined(
  target: { namespace: string | undefined; name: string; subresource: string | undefined },
): KubeTarget {
  const { namespace, name, subresource } = target;
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(subresource === undefined ? {} : { subresource }),
  };
}

function collectionPath(gvr: GroupVersionResource, namespace: string | undefined): string {
  const scope = namespace === undefined ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${groupVersionPath(gvr)}${scope}/${gvr.resource}`;
}

function objectPath(gvr: GroupVersionResource, target: KubeTarget): string {
  const subresource = target.subresource === undefined ? "" : `/${target.subresource}`;
  const name = encodeURIComponent(target.name);
  return `${collectionPath(gvr, target.namespace)}/${name}${subresource}`;
}

function listQuery(options: KubeListOptions): Record<string, string | undefined> {
  const { labelSelector, fieldSelector, resourceVersion } = options;
  return { labelSelector, fieldSelector, resourceVersion };
}

function parseEvent<T extends KubeObject>(line: string): WatchEvent<T> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new AppError("unavailable", "Cannot read watch event: line must be JSON", {}, {
      cause: error,
    });
  }
  if (isJsonObject(value) && typeof value.type === "string" && isJsonObject(value.object)) {
    return value as WatchEvent<T>; // shape checked above; the objects are of the kind asked for
  }
  throw new AppError("unavailable", "Cannot read watch event: it must have type and object");
}

/** Reason first (it says more than the number), then the HTTP code. */
const BY_REASON: Record<string, ErrorCode> = {
  AlreadyExists: "already_exists",
  Conflict: "conflict",
  Expired: "stale",
  Gone: "stale",
  NotFound: "not_found",
};

function codeOf(reason: string | undefined, http: number): ErrorCode {
  const known = reason === undefined ? undefined : BY_REASON[reason];
  if (known) return known;
  switch (http) {
    case 401:
      return "unauthenticated";
    case 403:
      return "forbidden";
    case 404:
      return "not_found";
    case 409:
      return "conflict";
    case 410:
      return "stale";
    case 429:
      return "exhausted";
    case 501:
      return "unimplemented";
    default:
      return http >= 500 ? "unavailable" : "invalid";
  }
}

function statusError(status: StatusObject): AppError {
  const { reason, message, code = 500 } = status;
  const retryAfterSeconds = status.details?.retryAfterSeconds;
  return new AppError(codeOf(reason, code), message ?? reason ?? `HTTP ${code}`, {
    http: code,
    ...(reason === undefined ? {} : { reason }),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  });
}

async function replyError(response: Response): Promise<AppError> {
  const text = await response.text().catch(() => ""); // a cut reply still has its HTTP code
  try {
    const body: unknown = JSON.parse(text);
    if (isJsonObject(body) && body.kind === "Status") {
      const status = body as unknown as StatusObject; // kind checked on the line above
      return statusError({ ...status, code: status.code ?? response.status });
    }
  } catch {
    // not a Status: the HTTP code alone says what happened
  }
  const { status } = response;
  const detail = text.slice(0, 200).trim() || response.statusText || "no reason given";
  return new AppError(codeOf(undefined, status), `HTTP ${status}: ${detail}`, { http: status });
}

function transportError(error: unknown, signal: AbortSignal): unknown {
  if (error instanceof AppError) return error;
  if (signal.aborted || isAbort(error, signal)) return signal.reason ?? error;
  return new AppError("unavailable", `Cannot reach the Kubernetes API: ${errorChain(error)}`, {}, {
    cause: error,
  });
}
