/**
 * The embedded Kubernetes API as a Hono app: who is asking, what is asked, which handler answers,
 * and every error as a Status. It runs the same under TLS (server.ts) and in process (`fetchAs`).
 */
import { type Context, Hono } from "hono";
import { TaskScope } from "../../shared/async/task_scope.ts";
import type { Clock } from "../../shared/clock.ts";
import { errorChain, isAbort } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import type { Store } from "../../shared/store/port.ts";
import { actingAs } from "./authorize.ts";
import { jsonResponse, type ServerParts } from "./context.ts";
import { createDefaultNamespaces } from "./default_namespaces.ts";
import { Discovery, discoveryForm, REVIEW_RESOURCES } from "./discovery.ts";
import { methodNotAllowed, toStatus, unauthorized, unknownPath } from "./errors.ts";
import { EVENT_SWEEP_MS, expireEvents } from "./event_sweeper.ts";
import { answerReview } from "./handle_review.ts";
import { allKinds, findKind } from "./kinds/registry.ts";
import { METRICS_GROUP, serveMetrics } from "./metrics/handle_metrics.ts";
import { NodeUsage } from "./metrics/node_usage.ts";
import { parseNodeProxy, proxyToNode } from "./node_proxy.ts";
import { OPENAPI_V2_CONTENT_TYPE, openapiDocument, openapiIndex } from "./openapi/openapi.ts";
import type { Authenticator, NodeProxy, TokenSigner, UserInfo } from "./port.ts";
import { parseApiPath } from "./resource_path.ts";
import { serveResource } from "./router.ts";
import { runtimeClassAdmission } from "./runtime_class_admission.ts";
import { admissionOf, serviceAccountOf } from "./service_accounts/admission.ts";
import { addOpenId } from "./service_accounts/openid.ts";
import { ObjectStorage } from "./storage.ts";
import { versionInfo } from "./version.ts";
import type { WatchCacheLimits } from "./watch_cache.ts";
import { kindId, ObjectWriter } from "./writer.ts";

export interface ApiServerOptions {
  store: Store;
  clock: Clock;
  random: Random;
  nodeProxy: NodeProxy;
  authenticator: Authenticator;
  /** With one, service accounts get tokens, and new pods what comes with their account. */
  tokenSigner?: TokenSigner;
  /** The program's version, "0.1.0". */
  version: string;
  /** Smaller in tests. */
  watchLimits?: WatchCacheLimits;
  /** Says why the server is not ready, or nothing. */
  notReady?: () => string | undefined;
}

/** What a server hands to the app beside the request. */
export interface ApiBindings {
  /** Set in process; over TLS the authenticator finds it from what follows. */
  user?: UserInfo;
  clientCertificate?: { commonName: string; organizations: string[] };
}

export type ApiApp = Hono<{ Bindings: ApiBindings; Variables: { user: UserInfo } }>;
type ApiContext = Context<{ Bindings: ApiBindings; Variables: { user: UserInfo } }>;

export interface ApiServer {
  readonly app: ApiApp;
  readonly storage: ObjectStorage;
  /** `fetch` in process, as `user`; the host of the URL does not matter. */
  fetchAs(user: UserInfo): typeof fetch;
  /** Deletes events older than an hour (also done every minute by itself). */
  expireEvents(nowMs: number): Promise<number>;
  /** Ends watches and background work and waits for writes; the store stays open. */
  close(): Promise<void>;
}

export async function createApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { store, clock, random, nodeProxy } = options;
  const kinds = allKinds().filter((kind) => !kind.view);
  const storage = ObjectStorage.open(store, clock, kinds.map(kindId), options.watchLimits);
  const { tokenSigner } = options;
  const forAccount = tokenSigner && admissionOf(storage, random);
  const forClass = runtimeClassAdmission(storage);
  const writer = new ObjectWriter(storage, clock, random, (kind, object) => {
    const admitted = forClass(kind, object);
    return forAccount ? forAccount(kind, admitted) : admitted;
  });
  await createDefaultNamespaces(storage, writer);
  const app = buildApp(options, {
    ...{ clock, random, storage, writer, nodeProxy },
    ...(tokenSigner ? { tokenSigner } : {}),
  });
  const scope = new TaskScope();
  scope.spawn("event sweep", (signal) => sweepEvents(storage, clock, signal));
  return {
    app,
    storage,
    fetchAs: (user) => async (input, init) => {
      const request = new Request(input, init);
      return await app.fetch(request, { user });
    },
    expireEvents: (nowMs) => expireEvents(storage, nowMs),
    close: async () => {
      scope.abort();
      await storage.close();
      await scope.join();
    },
  };
}

async function sweepEvents(
  storage: ObjectStorage,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const log = roomLogger("cloud", "apiserver");
  while (!signal.aborted) {
    await clock.sleep(EVENT_SWEEP_MS, signal);
    try {
      await expireEvents(storage, clock.nowMs());
    } catch (error) {
      if (isAbort(error, signal)) return;
      // the store says no for now; the next sweep sees the same events
      log.warn("Cannot delete old events", { error: errorChain(error) });
    }
  }
}

function buildApp(
  options: ApiServerOptions,
  parts: ServerParts,
): ApiApp {
  // not strict: some clients end discovery paths with a slash ("/version/", "/api/v1/")
  const app: ApiApp = new Hono({ strict: false });
  app.onError((error) => errorResponse(error));
  app.notFound(() => errorResponse(unknownPath()));
  addOpenPaths(app, options);
  app.use("*", async (context, next) => {
    const user = await userOf(context, options.authenticator, parts);
    if (!user) throw unauthorized();
    context.set("user", actingAs(user, context.req.raw.headers));
    await next();
  });
  addDiscovery(app);
  if (parts.tokenSigner) addOpenId(app, parts.tokenSigner);
  app.all("/api/v1/nodes/*", async (context, next) => {
    const target = parseNodeProxy(new URL(context.req.url).pathname);
    if (!target) return await next();
    return await proxyToNode(parts, context.req.raw, context.get("user"), target);
  });
  const usage = new NodeUsage(parts.nodeProxy, parts.clock);
  app.all(`/apis/${METRICS_GROUP}/*`, async (context) => {
    const parsed = parseApiPath(new URL(context.req.url).pathname);
    if (parsed?.kind !== "resource") throw unknownPath();
    const { path } = parsed;
    return await serveMetrics(parts, usage, {
      request: context.req.raw,
      user: context.get("user"),
      path,
    });
  });
  app.all("/api/*", (context) => serveApiPath(context, parts));
  app.all("/apis/*", (context) => serveApiPath(context, parts));
  return app;
}

function addOpenPaths(app: ApiApp, options: ApiServerOptions): void {
  for (const path of ["/healthz", "/livez"]) app.get(path, (context) => context.text("ok"));
  app.get("/readyz", (context) => {
    const why = options.notReady?.();
    return why === undefined ? context.text("ok") : context.text(`not ready: ${why}\n`, 503);
  });
  app.get("/version", () => jsonResponse(versionInfo(options.version)));
}

async function userOf(
  context: ApiContext,
  authenticator: Authenticator,
  parts: ServerParts,
): Promise<UserInfo | undefined> {
  // `env` is undefined when a test calls the app without bindings
  const bindings: ApiBindings = context.env ?? {};
  if (bindings.user) return bindings.user;
  const authorization = context.req.header("authorization");
  const user = await authenticator.authenticate(authorization, bindings.clientCertificate) ??
    serviceAccountOf(parts, authorization);
  return user && { ...user, groups: [...new Set([...user.groups, "system:authenticated"])] };
}

function addDiscovery(app: ApiApp): void {
  const discovery = new Discovery(allKinds());
  const root = (core: boolean) => (context: ApiContext) => {
    const form = discoveryForm(context.req.header("accept") ?? null);
    if (!form) return jsonResponse(core ? discovery.apiVersions() : discovery.groupList());
    const response = jsonResponse(discovery.aggregated(core, form.version));
    response.headers.set("content-type", form.contentType);
    response.headers.set("vary", "Accept");
    return response;
  };
  app.get("/api", root(true));
  app.get("/apis", root(false));
  app.get("/openapi/v2", () => {
    const headers = { "content-type": OPENAPI_V2_CONTENT_TYPE };
    return new Response(new Uint8Array(), { headers });
  });
  app.get("/openapi/v3", () => jsonResponse(openapiIndex()));
  app.get("/openapi/v3/*", (context) => {
    const place = parseApiPath(context.req.path.slice("/openapi/v3".length));
    const document = place?.kind === "version" && openapiDocument(place.group, place.version);
    if (!document) throw unknownPath();
    return jsonResponse(document);
  });
  app.get("/api/v1", () => jsonResponse(discovery.resourceList("", "v1")));
  app.get("/apis/:group", (context) => {
    const group = discovery.group(context.req.param("group") ?? "");
    if (!group) throw unknownPath();
    return jsonResponse(group);
  });
  app.get("/apis/:group/:version", (context) => {
    const { group = "", version = "" } = context.req.param();
    const list = discovery.resourceList(group, version);
    if (!list) throw unknownPath();
    return jsonResponse(list);
  });
}

async function serveApiPath(
  context: ApiContext,
  parts: ServerParts,
): Promise<Response> {
  const request = context.req.raw;
  const parsed = parseApiPath(new URL(request.url).pathname);
  if (parsed?.kind !== "resource") throw unknownPath();
  const { path } = parsed;
  const user = context.get("user");
  const review = REVIEW_RESOURCES.find(({ group, version, plural }) =>
    group === path.group && version === path.version && plural === path.resource
  );
  if (review) {
    if (request.method !== "POST" || path.name !== undefined) throw methodNotAllowed();
    return await answerReview(review.plural, request, user, parts.clock.nowMs());
  }
  const kind = findKind(path.group, path.version, path.resource);
  if (!kind) throw unknownPath();
  return await serveResource(parts, request, user, { kind, path });
}

/** Any error as its Status; what is our own fault is logged. */
export function errorResponse(error: unknown): Response {
  const status = toStatus(error);
  if (status.code === 500) {
    roomLogger("cloud", "apiserver").error("Request failed", { error: errorChain(error) });
  }
  const response = jsonResponse(status, { status: status.code ?? 500 });
  const retryAfter = status.details?.retryAfterSeconds;
  if (retryAfter) response.headers.set("retry-after", String(retryAfter));
  return response;
}
