/**
 * The local HTTP API as a Hono app: health, status, metrics, and the Kubernetes-shaped view of what
 * the node holds. It answers link or no link. Requests from outside are refused unless their Host
 * is loopback (a web page must not reach it by DNS rebinding); the cloud's requests come through
 * the tunnel and use `handleFromCloud`.
 */
import { type Context, Hono } from "hono";
import type { Changes } from "../../shared/async/wakeup.ts";
import { type Clock, toTime } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Pod } from "../../shared/k8s/types.ts";
import { KUBERNETES_VERSION } from "../../shared/version.ts";
import { qualifiedResource } from "../../shared/wire/keys.ts";
import type { Intents } from "../intents/port.ts";
import type { MqttCounts } from "../mqtt/port.ts";
import type { DeviceName, Twins } from "../twins/port.ts";
import { accessGuard, type Arrival } from "./access.ts";
import type { DmiCounts, Mappers } from "../dmi/port.ts";
import type { Mappers as BuiltInMappers } from "../mappers/port.ts";
import { addDevices } from "./devices/routes.ts";
import { type DeviceWhy, explainDevice } from "./devices/why.ts";
import { addHistory } from "./history/routes.ts";
import { apiGroups, apiResources, apiVersions } from "./kube/discovery.ts";
import { LocalKube } from "./kube/handlers.ts";
import { localResources } from "./kube/resources.ts";
import { parseLogQuery } from "./logs/query.ts";
import { readLog } from "./logs/read_log.ts";
import { type ProcessFacts, renderMetrics } from "./metrics.ts";
import { openApiDocument } from "./openapi.ts";
import { renderPage } from "./page.ts";
import type { EdgeFacts, LocalObjects, LocalPods } from "./port.ts";
import { addActs } from "./site/acts.ts";
import { makeDiff } from "./site/diff.ts";
import { explainPod, type Why } from "./site/why.ts";
import { addStats, type LocalStats } from "./stats/routes.ts";
import { statusResponse } from "./status_error.ts";
import { streamBody } from "./stream_body.ts";

export interface LocalApiOptions {
  pods: LocalPods;
  objects: LocalObjects;
  facts: EdgeFacts;
  intents: Intents;
  /** Undefined while the node has no device. */
  devices?: () => Twins | undefined;
  /** Those outside this program. */
  mappers?: () => Mappers | undefined;
  dmi?: () => DmiCounts | undefined;
  /** Those of this program; undefined while the node has no device. */
  builtIn?: () => Pick<BuiltInMappers, "statusOf" | "counts"> | undefined;
  /** Undefined where there is no event bus. */
  mqtt?: () => MqttCounts | undefined;
  /** What node and pods use; without it the paths are not served. */
  stats?: LocalStats;
  /** What acts must show; without one nobody may act. */
  token?: string | undefined;
  /** Notified whenever pods, objects, events or the node may have changed. */
  changes: Changes;
  process: () => ProcessFacts;
  clock: Clock;
}

export interface LocalApi {
  /** For the listeners; `arrival` says which. */
  fetch(request: Request, arrival?: Arrival): Response | Promise<Response>;
  /** For requests that came through the tunnel: kubelet-shaped paths only. */
  handleFromCloud(request: Request): Promise<Response>;
}

/** Finding a log asks the container runtime at most once. */
const LOG_LOOKUP_MS = 10_000;

/** Reports a diff counts by kind: all that a night without a link leaves, within reason. */
const DIFF_REPORTS_MAX = 10_000;

export function createLocalApi(options: LocalApiOptions): LocalApi {
  const app = new Hono();
  const kubelet = new Hono();
  app.use(accessGuard(options.token));
  for (const each of [app, kubelet]) {
    each.onError((error) => statusResponse(error));
    each.notFound((c) =>
      statusResponse(new AppError("not_found", `the server has no ${c.req.path}`))
    );
  }
  addHealth(app, options);
  addKube(app, options);
  addLogs(app, kubelet, options);
  addOwn(app, options);
  if (options.stats) { for (const each of [app, kubelet]) addStats(each, options.stats); }
  addActs(app, options);
  const { devices = () => undefined, intents, builtIn } = options;
  addDevices(app, { devices, intents, mapped: (device) => builtIn?.()?.statusOf(device) });
  addSite(app, options);
  addMethodRefusal(app);
  return {
    fetch: (request, arrival = { tls: false }) => app.fetch(request, arrival),
    handleFromCloud: async (request) => await kubelet.fetch(request),
  };
}

function addHealth(app: Hono, { facts }: LocalApiOptions): void {
  app.get("/healthz", (c) => c.text("ok"));
  app.get("/livez", (c) => c.text("ok"));
  app.get("/readyz", (c) => {
    const checks = facts.checks();
    const lines = checks.map((check) =>
      `[${check.ok ? "+" : "-"}]${check.name} ${check.ok ? "ok" : `failed: ${check.message ?? ""}`}`
    );
    const ready = checks.every((check) => check.ok || check.minor);
    if (ready && c.req.query("verbose") === undefined) return c.text("ok");
    return c.text(lines.join("\n") + `\nreadyz check ${ready ? "passed" : "failed"}\n`, {
      status: ready ? 200 : 503,
    });
  });
  app.get("/version", (c) => {
    const { version } = facts.status();
    const [major = "1", minor = "0"] = KUBERNETES_VERSION.slice(1).split(".");
    return c.json({
      major,
      minor,
      gitVersion: `${KUBERNETES_VERSION}-skerry-${version}`,
      platform: `linux/${Deno.build.arch === "aarch64" ? "arm64" : "amd64"}`,
    });
  });
}

function addKube(app: Hono, options: LocalApiOptions): void {
  const kube = new LocalKube(localResources(options), options.changes, options.clock);
  app.get("/api", (c) => c.json(apiVersions()));
  app.get("/apis", (c) => c.json(apiGroups(kube.resources)));
  app.get("/api/v1", (c) => c.json(apiResources(kube.resources) ?? {}));
  app.get("/apis/:group/:version", (c) => {
    const found = apiResources(kube.resources, c.req.param("group"), c.req.param("version"));
    return found ? c.json(found) : c.notFound();
  });
  const scopeOf = (c: Context) => {
    const namespace = c.req.param("namespace");
    return {
      params: new URL(c.req.url).searchParams,
      ...groupOf(c),
      asTable: /;\s*as=Table/i.test(c.req.header("accept") ?? ""),
      ...(namespace === undefined ? {} : { namespace }),
    };
  };
  const listOrWatch = (c: Context) => {
    const scope = scopeOf(c);
    const { params } = scope;
    const plural = c.req.param("resource") ?? "";
    if (!["1", "true"].includes(params.get("watch") ?? "")) return c.json(kube.list(plural, scope));
    return c.body(kube.watch(plural, scope), 200, { "content-type": "application/json" });
  };
  const getOne = (c: Context) =>
    c.json(kube.get(c.req.param("resource") ?? "", c.req.param("name") ?? "", scopeOf(c)));
  for (const root of ["/api/v1", "/apis/:group/:version"]) {
    app.get(`${root}/namespaces/:namespace/:resource`, listOrWatch);
    app.get(`${root}/namespaces/:namespace/:resource/:name`, getOne);
    app.get(`${root}/:resource`, listOrWatch);
    app.get(`${root}/:resource/:name`, getOne);
  }
}

function groupOf(c: Context): { group?: string; version?: string } {
  const group = c.req.param("group");
  const version = c.req.param("version");
  return group === undefined || version === undefined ? {} : { group, version };
}

function addLogs(app: Hono, kubelet: Hono, { pods, clock }: LocalApiOptions): void {
  const serve = async (c: Context, container: string | undefined) => {
    const query = parseLogQuery(new URL(c.req.url).searchParams, clock.nowMs());
    const named = container ?? query.container;
    const log = await pods.log({
      namespace: c.req.param("namespace") ?? "",
      pod: c.req.param("name") ?? "",
      previous: query.previous,
      ...(named === undefined ? {} : { container: named }),
    }, AbortSignal.timeout(LOG_LOOKUP_MS));
    await checkLogFile(log.path);
    const body = streamBody((signal) => readLog(log, query.options, clock, signal));
    return c.body(body, 200, { "content-type": "text/plain; charset=utf-8" });
  };
  app.get("/api/v1/namespaces/:namespace/pods/:name/log", (c) => serve(c, undefined));
  app.get("/v1/pods/:namespace/:name/logs", (c) => serve(c, undefined));
  kubelet.get(
    "/containerLogs/:namespace/:name/:container",
    (c) => serve(c, c.req.param("container")),
  );
}

function addOwn(app: Hono, options: LocalApiOptions): void {
  const { facts, pods } = options;
  app.get("/v1/status", (c) => c.json(facts.status()));
  addHistory(app, facts);
  app.get("/v1/events", (c) => c.json({ items: facts.events() }));
  app.get("/metrics", (c) => {
    const body = renderMetrics(
      facts.status(),
      pods.list(),
      options.process(),
      {
        twins: options.devices?.()?.counts(),
        mqtt: options.mqtt?.(),
        mapped: options.builtIn?.()?.counts(),
        dmi: options.dmi?.(),
      },
    );
    return c.text(body, 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
  });
  app.get("/openapi.json", (c) => c.json(openApiDocument(facts.status().version)));
  app.get("/", (c) => c.html(renderPage(facts.status(), pods.list())));
}

function addSite(app: Hono, options: LocalApiOptions): void {
  const { facts, intents, pods } = options;
  app.get("/v1/diff", (c) => {
    const { link, ledger, outbox } = facts.status();
    return c.json(makeDiff({
      link,
      heldGeneration: ledger.generation,
      heardGeneration: facts.heardGeneration(),
      reports: facts.waitingReports(DIFF_REPORTS_MAX),
      total: outbox.depth,
      oldestAt: outbox.oldestAt,
      intents: intents.list(),
    }));
  });
  app.get("/v1/why/:kind/:namespace/:name", (c) => {
    const { kind, namespace, name } = c.req.param();
    if (["device", "devices"].includes(kind)) {
      return c.json(whyDevice({ namespace, name }, options));
    }
    if (!["pod", "pods"].includes(kind)) {
      throw new AppError("not_found", `Cannot explain ${kind}: known are pod and device`);
    }
    const pod = pods.list().find((p) =>
      p.metadata.namespace === namespace && p.metadata.name === name
    );
    if (!pod) throw new AppError("not_found", `pods "${name}" not found`);
    return c.json(why(pod, options));
  });
}

function why(pod: Pod, { facts, intents, objects, pods, clock }: LocalApiOptions): Why {
  const { namespace, uid = "" } = pod.metadata;
  const inMs = pods.retryInMs?.(uid);
  return explainPod({
    pod,
    status: facts.status(),
    node: facts.node(),
    intents: intents.list(),
    events: facts.events(),
    holds: (resource, wanted) =>
      objects.list(resource).some((o) =>
        o.metadata.namespace === namespace && o.metadata.name === wanted
      ),
    retryAt: inMs === undefined ? undefined : toTime(clock.nowMs() + Math.max(0, inMs)),
  });
}

function whyDevice(device: DeviceName, options: LocalApiOptions): DeviceWhy {
  const mappers = options.mappers?.();
  const { facts, intents, objects } = options;
  const twins = options.devices?.();
  const summary = twins?.get(device);
  if (!twins || !summary) {
    throw new AppError("not_found", `devices "${device.namespace}/${device.name}" not found`);
  }
  const definition = twins.definition(device);
  const protocol = definition?.protocol.name ?? "";
  return explainDevice({
    device: summary,
    definition,
    mapper: mappers?.ofProtocol(protocol),
    refusal: mappers?.refusal(protocol, device),
    mapped: options.builtIn?.()?.statusOf(device),
    twins: twins.twins(device),
    intents: intents.list(),
    link: facts.status().link,
    holdsModel: objects.list(qualifiedResource(GVR.deviceModels)).some(({ metadata }) =>
      metadata.namespace === device.namespace && metadata.name === summary.model
    ),
  });
}

/** Anything else is refused by name, so that a script does not take a 404 for done. */
function addMethodRefusal(app: Hono): void {
  app.all("*", (c) => {
    if (c.req.method === "GET" || c.req.method === "HEAD") return c.notFound();
    return statusResponse(
      new AppError("unimplemented", `the local API does not take ${c.req.method} ${c.req.path}`),
    );
  });
}

/** While an answer can still say so: once the body has begun, an error only cuts it short. */
async function checkLogFile(path: string): Promise<void> {
  try {
    await Deno.stat(path);
  } catch (cause) {
    throw new AppError("not_found", `Cannot read container log ${path}`, { path }, { cause });
  }
}
