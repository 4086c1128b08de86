/** OpenAPI description of the local API. The Kubernetes-shaped part follows core/v1. */
import { DEVICE_ROUTES } from "./devices/openapi_routes.ts";

export interface Route {
  /** "get" when left out; all others need the token. */
  method?: "post" | "delete" | "patch";
  path: string;
  summary: string;
  type: string;
  params?: [name: string, description: string][];
}

const LOG_PARAMS: [string, string][] = [
  ["container", "Container name; may be left out where the pod has one."],
  ["follow", "true: keep sending what is written until the container ends."],
  ["previous", "true: the run before the current one."],
  ["tailLines", "Only the last N lines."],
  ["sinceSeconds", "Only lines younger than N seconds."],
  ["sinceTime", "Only lines since this RFC 3339 time."],
  ["limitBytes", "At most N bytes."],
  ["timestamps", "true: begin each line with its RFC 3339 time."],
];
const HISTORY_PARAMS: [string, string][] = [
  ["from", "Only since this RFC 3339 time."],
  ["to", "Only before this RFC 3339 time."],
  ["kind", "pod_status, pod_gone, event, link or twin."],
  ["subject", "What it happened to: pods/NAMESPACE/NAME, devices/NAMESPACE/NAME, cloud."],
  ["limit", "At most N items, 1 to 1000; 100 when left out."],
  ["after", "Only behind the item with this id."],
];
const LIST_PARAMS: [string, string][] = [
  ["labelSelector", "Kubernetes label selector."],
  ["fieldSelector", "Kubernetes field selector; any path to a scalar."],
  ["watch", "true: one JSON event a line, as things change."],
];

const ROUTES: Route[] = [
  { path: "/healthz", summary: "Is the program alive", type: "text/plain" },
  { path: "/livez", summary: "Is the program alive", type: "text/plain" },
  {
    path: "/readyz",
    summary: "Is everything well; 503 names what is not",
    type: "text/plain",
    params: [["verbose", "List every check."]],
  },
  { path: "/version", summary: "Version", type: "application/json" },
  { path: "/metrics", summary: "Prometheus metrics", type: "text/plain" },
  { path: "/metrics/resource", summary: "Usage, as metrics-server reads it", type: "text/plain" },
  {
    path: "/stats/summary",
    summary: "What node, pods and containers use, in kubelet's shape",
    type: "application/json",
    params: [["only_cpu_and_memory", "true leaves out what lies on disk."]],
  },
  { path: "/v1/status", summary: "Link, outbox, store, runtime", type: "application/json" },
  { path: "/v1/events", summary: "Events of this node", type: "application/json" },
  {
    path: "/v1/history",
    summary: "What happened on this node, oldest first; `next` of an answer is the next `after`",
    type: "application/json",
    params: HISTORY_PARAMS,
  },
  {
    path: "/v1/pods/{namespace}/{name}/logs",
    summary: "Log of a container",
    type: "text/plain",
    params: LOG_PARAMS,
  },
  { path: "/v1/intents", summary: "What was asked at the site", type: "application/json" },
  { path: "/v1/intents/{id}", summary: "One of them", type: "application/json" },
  ...DEVICE_ROUTES,
  { path: "/v1/diff", summary: "What a reconnect would change", type: "application/json" },
  {
    path: "/v1/why/{kind}/{namespace}/{name}",
    summary: "Why a pod does not run, or a device is not as it should be, in sentences",
    type: "application/json",
  },
  {
    method: "post",
    path: "/v1/pods/{namespace}/{name}/restart",
    summary: "Restart a pod, or one container of it; 202 once it is on disk",
    type: "application/json",
    params: [["container", "Only this container."], ["by", "Who asks."]],
  },
  {
    method: "delete",
    path: "/v1/pods/{namespace}/{name}",
    summary: "Stop a pod and ask the cloud to delete it; 202 once it is on disk",
    type: "application/json",
    params: [["by", "Who asks."]],
  },
  {
    path: "/api/v1/{resource}",
    summary: "pods, nodes, configmaps, secrets (names only) or events of all namespaces",
    type: "application/json",
    params: LIST_PARAMS,
  },
  {
    path: "/api/v1/namespaces/{namespace}/{resource}",
    summary: "The same in one namespace",
    type: "application/json",
    params: LIST_PARAMS,
  },
  {
    path: "/api/v1/namespaces/{namespace}/{resource}/{name}",
    summary: "One object",
    type: "application/json",
  },
  {
    method: "delete",
    path: "/api/v1/namespaces/{namespace}/pods/{name}",
    summary: "Restart a pod (kubectl delete pod), or remove it",
    type: "application/json",
    params: [["mode", "restart (default) or remove."], ["by", "Who asks."]],
  },
  {
    path: "/api/v1/namespaces/{namespace}/pods/{name}/log",
    summary: "Log of a container, as kubectl asks for it",
    type: "text/plain",
    params: LOG_PARAMS,
  },
];

export function openApiDocument(version: string): object {
  return {
    openapi: "3.0.3",
    info: { title: "Skerry edge, local API", version },
    components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
    paths: allPaths(),
  };
}

function allPaths(): Record<string, object> {
  const paths: Record<string, object> = {};
  for (const route of ROUTES) {
    const method = route.method ?? "get";
    paths[route.path] = { ...paths[route.path], [method]: operation(route) };
  }
  return paths;
}

function operation(route: Route): object {
  const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map((match) => ({
    name: match[1],
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const inQuery = (route.params ?? []).map(([name, description]) => ({
    name,
    in: "query",
    description,
    schema: { type: "string" },
  }));
  return {
    summary: route.summary,
    ...(route.method ? { security: [{ token: [] }] } : {}),
    parameters: [...inPath, ...inQuery],
    responses: { "200": { description: "OK", content: { [route.type]: {} } } },
  };
}
